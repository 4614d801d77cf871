// Runs on the audio thread: the microphone at 24 kHz in frames of 40 ms, and an ear that notices a
// voice within 24 ms, long before a server can be sure of it.

const RATE = 24000;
const FRAME_SAMPLES = 960;
const HOP_SAMPLES = 192; // 8 ms
const ONSET_HOPS = 3; // a click is shorter
const RELEASE_HOPS = 25; // gaps between words are shorter
const ZERO_CROSSINGS = 12;
// Decibels of full scale, of which silence on a line has about -80 and speech -30.
const QUIETEST_DB = -90;
const LEAST_VOICE_DB = -52;
const MARGIN_DB = 12; // of a voice above the noise floor
const WARY_STEP_DB = 3; // after each false alarm
const WARIEST_DB = 24;
const [FLOOR_BLOCK_HOPS, FLOOR_BLOCKS] = [32, 8]; // 2 s: any speech has a gap in them

// Band-limited, for any two whole rates: one windowed sinc for each phase between their samples.
class Resampler {
  constructor(from, to) {
    const common = greatestCommonDivisor(from, to);
    [this.up, this.down] = [to / common, from / common];
    const cutoff = Math.min(1, to / from);
    this.half = Math.ceil(ZERO_CROSSINGS / cutoff);
    this.kernels = Array.from({ length: this.up }, (_, phase) => sincKernel(this.half, cutoff, phase / this.up));
    this.input = new Float32Array(this.half);
    this.at = 0; // of the next output, in 1 / up of an input sample
  }

  push(block) {
    const joined = new Float32Array(this.input.length + block.length);
    joined.set(this.input);
    joined.set(block, this.input.length);
    const output = [];
    for (; Math.floor(this.at / this.up) + 2 * this.half <= joined.length; this.at += this.down) {
      const first = Math.floor(this.at / this.up);
      output.push(this.kernels[this.at % this.up].reduce((sum, tap, n) => sum + tap * joined[first + n], 0));
    }
    const used = Math.floor(this.at / this.up);
    this.input = joined.slice(used);
    this.at -= used * this.up;
    return Float32Array.from(output);
  }
}

function sincKernel(half, cutoff, fraction) {
  return Float32Array.from({ length: 2 * half }, (_, n) => {
    const x = n - (half - 1) - fraction;
    const angle = Math.PI * cutoff * x;
    const window = 0.5 + 0.5 * Math.cos((Math.PI * x) / half);
    return cutoff * window * (angle === 0 ? 1 : Math.sin(angle) / angle);
  });
}

function greatestCommonDivisor(a, b) {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}

// The noise floor is the quietest hop of the last two seconds; a voice stands out of it.
class Ear {
  constructor() {
    this.minima = [Infinity]; // of blocks, the newest last
    this.hops = 0;
    this.margin = MARGIN_DB;
    this.level = QUIETEST_DB;
    this.voiced = false;
    this.loudHops = 0;
    this.softHops = 0;
  }

  // Whether a voice begins with this hop.
  hear(hop) {
    const power = hop.reduce((sum, sample) => sum + sample * sample, 0) / hop.length;
    this.level = Math.max(QUIETEST_DB, 10 * Math.log10(power + 1e-12));
    const loud = this.level > Math.max(LEAST_VOICE_DB, this.floor() + this.margin);
    this.loudHops = loud ? this.loudHops + 1 : 0;
    this.softHops = loud ? 0 : this.softHops + 1;
    const before = this.voiced;
    if (this.loudHops >= ONSET_HOPS) this.voiced = true;
    if (this.softHops >= RELEASE_HOPS) this.voiced = false;
    return this.voiced && !before;
  }

  floor() {
    const last = this.minima.length - 1;
    this.minima[last] = Math.min(this.minima[last], this.level);
    this.hops += 1;
    if (this.hops % FLOOR_BLOCK_HOPS === 0) this.minima = [...this.minima, Infinity].slice(-FLOOR_BLOCKS);
    return Math.min(...this.minima);
  }

  // Whether what it noticed was a voice.
  learn(wasVoice) {
    this.margin = wasVoice ? MARGIN_DB : Math.min(WARIEST_DB, this.margin + WARY_STEP_DB);
  }
}

class MicrophoneFrames extends AudioWorkletProcessor {
  constructor() {
    super();
    this.resampler = sampleRate === RATE ? null : new Resampler(sampleRate, RATE);
    this.ear = new Ear();
    this.frame = new Float32Array(FRAME_SAMPLES);
    this.filled = 0;
    this.loudSamples = 0; // up to the end of the last loud hop of this frame
    this.port.onmessage = ({ data }) => this.ear.learn(data.wasVoice);
  }

  process(inputs) {
    const block = inputs[0][0];
    if (!block) return true; // between two devices
    for (const sample of this.resampler ? this.resampler.push(block) : block) this.take(sample);
    return true;
  }

  take(sample) {
    this.frame[this.filled] = sample;
    this.filled += 1;
    if (this.filled % HOP_SAMPLES === 0) this.listen();
    if (this.filled === FRAME_SAMPLES) this.send();
  }

  listen() {
    const begins = this.ear.hear(this.frame.subarray(this.filled - HOP_SAMPLES, this.filled));
    if (this.ear.softHops === 0) this.loudSamples = this.filled;
    if (begins) this.port.postMessage({ onset: currentTime - (ONSET_HOPS * HOP_SAMPLES) / RATE });
  }

  // voicedSamples: up to the end of what was loud in this frame; 0 if nothing was.
  send() {
    const { level, voiced } = this.ear;
    const samples = this.frame;
    this.port.postMessage({ samples, level, voiced, voicedSamples: this.loudSamples }, [samples.buffer]);
    this.frame = new Float32Array(FRAME_SAMPLES);
    this.filled = 0;
    this.loudSamples = 0;
  }
}

registerProcessor("microphone-frames", MicrophoneFrames);
