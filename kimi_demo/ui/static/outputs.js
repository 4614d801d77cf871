// Two ways to the loudspeaker with one interface: push, end, stop, pause, resume, flush, and
// onreport({played, queued, underruns, underrunMs, flowing, peak, first?, drained?, silenced?}).

const CUSHION_S = 0.2;

// AudioWorklet: exact, but only where the page is secure (https or localhost).
async function workletOutput(context, target, onreport) {
  const url = URL.createObjectURL(new Blob([WORKLET_SOURCE], { type: "text/javascript" }));
  await context.audioWorklet.addModule(url);
  URL.revokeObjectURL(url);
  const node = new AudioWorkletNode(context, "live-speech", {
    numberOfInputs: 0,
    outputChannelCount: [1],
    processorOptions: { cushionS: CUSHION_S },
  });
  node.connect(target);
  node.port.onmessage = ({ data }) => onreport(data);
  const send = (type) => () => node.port.postMessage({ type });
  return {
    kind: "worklet",
    push: (samples) => node.port.postMessage({ type: "push", samples }, [samples.buffer]),
    end: send("end"),
    stop: send("stop"),
    pause: send("pause"),
    resume: send("resume"),
    flush: send("flush"),
  };
}

// Scheduled buffers: for plain http on a network address, and for browsers that cannot run a
// context at the voice's own rate (the buffers are resampled one by one).
class ScheduledOutput {
  constructor(context, target, rate, onreport) {
    this.kind = "scheduled";
    this.context = context;
    this.target = target;
    this.rate = rate;
    this.onreport = onreport;
    this.flush();
    setInterval(() => this.tick(), 40);
  }

  flush() {
    (this.sources || []).forEach((source) => source.stop());
    this.sources = [];
    this.waiting = []; // pieces held back until the cushion is filled
    this.total = 0;
    this.nextTime = 0; // when the last scheduled piece ends; 0 before the first
    this.underruns = 0;
    this.underrunS = 0;
    this.started = false;
    this.ended = false;
    this.cushionS = CUSHION_S;
  }

  push(samples) {
    this.waiting.push(samples);
    this.total += samples.length;
    this.schedule();
  }

  end() {
    this.ended = true;
    this.schedule();
  }

  stop() {
    const played = this.played();
    this.flush();
    this.onreport({ ...this.counters(), played, silenced: true });
  }

  pause() { this.context.suspend(); }
  resume() { this.context.resume(); }

  waitingSamples() { return this.waiting.reduce((sum, piece) => sum + piece.length, 0); }

  schedule() {
    const dry = this.context.currentTime >= this.nextTime;
    if (this.waiting.length === 0) return;
    if (dry && !this.ended && this.waitingSamples() < this.cushionS * this.rate) return;
    if (dry) this.restart();
    this.waiting.forEach((piece) => this.play(piece));
    this.waiting = [];
  }

  restart() {
    const now = this.context.currentTime + 0.02;
    if (this.started) {
      this.underruns += 1;
      this.underrunS += now - this.nextTime;
      this.cushionS = Math.min(this.cushionS + 0.2, 1.5);
    } else {
      this.started = true;
      this.onreport({ ...this.counters(), first: true });
    }
    this.nextTime = now;
  }

  play(samples) {
    const buffer = this.context.createBuffer(1, samples.length, this.rate);
    buffer.copyToChannel(samples, 0);
    const source = this.context.createBufferSource();
    source.buffer = buffer;
    source.connect(this.target);
    source.start(this.nextTime);
    source.onended = () => { this.sources = this.sources.filter((other) => other !== source); };
    this.sources.push(source);
    this.nextTime += buffer.duration;
  }

  played() {
    const ahead = Math.max(0, this.nextTime - this.context.currentTime);
    return Math.max(0, Math.round(this.total - this.waitingSamples() - ahead * this.rate));
  }

  counters() {
    const played = this.started ? this.played() : 0;
    return {
      played,
      queued: this.total - played,
      underruns: this.underruns,
      underrunMs: Math.round(1000 * this.underrunS),
      flowing: this.started && this.context.currentTime < this.nextTime,
      peak: 0,
    };
  }

  tick() {
    if (!this.started) return;
    const counters = this.counters();
    const drained = this.ended && counters.queued === 0;
    this.onreport({ ...counters, drained });
    if (drained) this.started = false;
  }
}

async function openOutput(rate, onreport) {
  const Context = window.AudioContext || window.webkitAudioContext;
  let context;
  try {
    context = new Context({ sampleRate: rate, latencyHint: "interactive" });
  } catch {
    context = new Context();
  }
  context.resume(); // still inside the visitor's gesture
  const volume = context.createGain();
  volume.connect(context.destination);
  const scheduled = () => new ScheduledOutput(context, volume, rate, onreport);
  const exact = Boolean(context.audioWorklet) && context.sampleRate === rate;
  const output = exact
    ? await workletOutput(context, volume, onreport).catch(scheduled)
    : scheduled();
  return { context, volume, output };
}
