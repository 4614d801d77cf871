// Runs on the audio thread: a queue of samples, a cushion against late chunks, 5 ms fades at every
// edge so that nothing clicks, and counters that the page and its tests read.

const FADE_S = 0.005;
const CUSHION_STEP_S = 0.2;
const CUSHION_MAX_S = 1.5;
const QUANTA_PER_REPORT = 8; // 8 x 128 samples, 43 ms at 24 kHz: enough for a smooth display

class LiveSpeech extends AudioWorkletProcessor {
  constructor(options) {
    super();
    this.fadeSamples = Math.round(FADE_S * sampleRate);
    this.firstCushion = Math.round(options.processorOptions.cushionS * sampleRate);
    this.quanta = 0;
    this.flush();
    this.port.onmessage = ({ data }) => this[data.type](data);
  }

  flush() {
    this.queue = [];
    this.offset = 0; // samples of queue[0] that were played
    this.queued = 0;
    this.played = 0;
    this.underruns = 0;
    this.underrunSamples = 0;
    this.silence = 0; // since the queue ran dry; an underrun only if more sound follows
    this.cushion = this.firstCushion;
    this.gain = 0;
    this.peak = 0;
    this.flowing = false;
    this.started = false;
    this.ended = false;
    this.paused = false;
    this.stopping = false;
  }

  push({ samples }) {
    this.queue.push(samples);
    this.queued += samples.length;
  }

  end() { this.ended = true; }
  pause() { this.paused = true; }
  resume() { this.paused = false; }

  stop() {
    this.stopping = true;
    if (!this.flowing) this.silenced();
  }

  silenced() {
    const last = this.counters();
    this.flush();
    this.port.postMessage({ ...last, queued: 0, flowing: false, silenced: true });
  }

  process(_inputs, outputs) {
    const out = outputs[0][0];
    if (!this.flowing && this.mayStart()) this.start();
    const written = this.flowing ? this.render(out) : 0;
    if (this.started && !this.flowing && !this.ended && !this.paused) {
      this.silence += out.length - written;
    }
    if (++this.quanta % QUANTA_PER_REPORT === 0) this.report();
    return true;
  }

  mayStart() {
    if (this.paused || this.queued === 0) return false;
    return this.ended || this.queued >= this.cushion;
  }

  start() {
    if (this.silence > 0) {
      this.underruns += 1;
      this.underrunSamples += this.silence;
      this.silence = 0;
      this.cushion = Math.min(this.cushion + CUSHION_STEP_S * sampleRate, CUSHION_MAX_S * sampleRate);
    }
    if (!this.started) this.port.postMessage({ ...this.counters(), first: true });
    this.started = true;
    this.flowing = true;
    this.gain = 0;
  }

  // Fills one block; returns how many samples it wrote before it stopped flowing.
  render(out) {
    const step = 1 / this.fadeSamples;
    for (let i = 0; i < out.length; i += 1) {
      const closing = this.stopping || this.paused;
      this.gain = closing ? this.gain - step : Math.min(1, this.gain + step);
      this.gain = Math.min(this.gain, this.queued * step); // fades before the queue runs dry
      if (this.gain <= 0) {
        this.flowing = false;
        if (this.stopping) this.silenced();
        return i;
      }
      out[i] = this.next() * this.gain;
      this.peak = Math.max(this.peak, Math.abs(out[i]));
    }
    return out.length;
  }

  next() {
    const head = this.queue[0];
    const sample = head[this.offset];
    this.offset += 1;
    this.queued -= 1;
    this.played += 1;
    if (this.offset === head.length) {
      this.queue.shift();
      this.offset = 0;
    }
    return sample;
  }

  counters() {
    return {
      played: this.played,
      queued: this.queued,
      underruns: this.underruns,
      underrunMs: Math.round((1000 * this.underrunSamples) / sampleRate),
      flowing: this.flowing,
      peak: this.peak,
    };
  }

  report() {
    if (!this.started) return;
    const drained = this.ended && this.queued === 0;
    this.port.postMessage({ ...this.counters(), drained });
    if (drained) this.started = false;
    this.peak = 0;
  }
}

registerProcessor("live-speech", LiveSpeech);
