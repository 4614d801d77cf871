// The microphone, with the browser's own echo cancellation, as frames of 24 kHz; see capture.js.

const MICROPHONE_RATE = 24000;

// Why there can be no live microphone here, as a key of the words; null if there can.
function missingForMicrophone() {
  if (!window.isSecureContext) return "talk_insecure";
  if (!window.WebSocket || !window.AudioWorkletNode) return "talk_old_browser";
  if (!navigator.mediaDevices?.getUserMedia) return "talk_no_microphone";
  return null;
}

// Firefox connects a microphone only to a context of its own rate: there the worklet resamples.
function microphoneSource(stream) {
  const wanted = new AudioContext({ sampleRate: MICROPHONE_RATE, latencyHint: "interactive" });
  try {
    return wanted.createMediaStreamSource(stream);
  } catch {
    wanted.close();
    return new AudioContext({ latencyHint: "interactive" }).createMediaStreamSource(stream);
  }
}

async function startWorklet(context) {
  const url = URL.createObjectURL(new Blob([CAPTURE_SOURCE], { type: "text/javascript" }));
  await context.audioWorklet.addModule(url);
  URL.revokeObjectURL(url);
  return new AudioWorkletNode(context, "microphone-frames", { numberOfOutputs: 0 });
}

// Asks the visitor. onframe({samples, level, voiced, voicedSamples}); ononset(ms since the voice
// began); onlost() when the device is gone. Rejects with a DOMException.
async function openMicrophone({ onframe, ononset, onlost }) {
  const audio = { echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: 1 };
  const stream = await navigator.mediaDevices.getUserMedia({ audio });
  const [track] = stream.getAudioTracks();
  track.onended = onlost;
  let source;
  const close = () => {
    track.onended = null;
    track.stop();
    if (source && source.context.state !== "closed") source.context.close();
  };
  try {
    source = microphoneSource(stream);
    const { context } = source;
    await context.resume();
    const node = await startWorklet(context);
    node.port.onmessage = ({ data }) => {
      if (data.samples) onframe(data);
      else ononset(1000 * (context.currentTime - data.onset));
    };
    source.connect(node);
    return { close, learn: (wasVoice) => node.port.postMessage({ wasVoice }) };
  } catch (error) {
    close();
    throw error;
  }
}
