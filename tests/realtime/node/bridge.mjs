// One conversation of a client from npm, by lines of JSON: events to send on stdin; on stdout every
// event that arrived ("raw"), and again what the client made of it ("parsed").
import { createInterface } from 'node:readline';
import { OpenAI } from 'openai';
import { OpenAIRealtimeWebSocket } from 'openai/realtime/websocket';
import * as agents from '@openai/agents-realtime';
import { WebSocket } from 'ws';

const [kind, address, key, settings] = process.argv.slice(2);
const say = (line) => process.stdout.write(JSON.stringify(line) + '\n');

// Both emit each event twice: under one name for all, then under its own type once it is parsed.
function watched(emitter, all) {
  const known = new Set();
  emitter.on(all, (raw) => {
    if (!known.has(raw.type)) {
      known.add(raw.type);
      emitter.on(raw.type, (event) => say({ parsed: raw.type, id: event.event_id ?? event.error?.event_id }));
    }
    say({ raw });
  });
}

function stock() {
  globalThis.WebSocket = WebSocket; // as in a browser
  const client = new OpenAI({ baseURL: `${address}/v1`, apiKey: key });
  const onURL = (url) => { url.protocol = 'ws:'; }; // it would always speak TLS
  const realtime = new OpenAIRealtimeWebSocket(
    { model: 'gpt-realtime', onURL, dangerouslyAllowBrowser: true }, client);
  watched(realtime, 'event');
  realtime.on('error', () => {}); // told as an event
  realtime.socket.addEventListener('close', ({ code, reason }) => say({ closed: code, reason }));
  return { send: (event) => realtime.send(event), close: () => realtime.close() };
}

async function agent() {
  const transport = new agents.OpenAIRealtimeWebSocket({
    url: `${address.replace('http', 'ws')}/v1/realtime`,
    createWebSocket: async ({ url, apiKey }) => {
      const socket = new WebSocket(url, ['realtime', `openai-insecure-api-key.${apiKey}`, 'openai-agents-sdk.0.20.0']);
      socket.addEventListener('close', ({ code, reason }) => say({ closed: code, reason }));
      return socket;
    },
  });
  const session = new agents.RealtimeSession(
    new agents.RealtimeAgent({ name: 'one', instructions: 'Be kind.' }),
    { transport, config: JSON.parse(settings) });
  watched(transport, '*');
  session.on('error', () => {}); // told as an event
  session.on('history_updated', (history) => say({ history }));
  session.on('audio', ({ responseId, data }) => say({ heard: responseId, bytes: data.byteLength }));
  await session.connect({ apiKey: key });
  const bytes = (text) => Uint8Array.from(Buffer.from(text, 'base64')).buffer;
  const send = (event) => event.type === 'input_audio_buffer.append'
    ? session.sendAudio(bytes(event.audio))
    : transport.sendEvent(event);
  return { send, close: () => session.close() };
}

const client = await { openai: stock, agents: agent }[kind]();
for await (const line of createInterface({ input: process.stdin })) {
  client.send(JSON.parse(line));
}
client.close();
