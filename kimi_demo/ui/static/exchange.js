// What one turn of a hands-free conversation consists of, and the recording of the microphone that
// it is cut out of.

const SAMPLES_PER_MS = 24;
const KEPT_MS = 15000; // while nobody speaks: the server tells late where speech began

// Everything that was sent, by its milliseconds; and when it was heard.
class Recording {
  constructor() {
    this.frames = [];
    this.startMs = 0;
    this.endMs = 0;
    this.voicedMs = 0; // end of the last that was loud
    this.heardAt = 0; // of endMs, as performance.now()
  }

  push({ samples, voicedSamples }) {
    if (voicedSamples) this.voicedMs = this.endMs + voicedSamples / SAMPLES_PER_MS;
    this.frames.push(samples);
    this.endMs += samples.length / SAMPLES_PER_MS;
    this.heardAt = performance.now();
  }

  between(startMs, endMs) {
    const from = (ms) => Math.max(0, Math.round((ms - this.startMs) * SAMPLES_PER_MS));
    return joined(this.frames).slice(from(startMs), from(endMs));
  }

  forgetBefore(ms) {
    while (this.frames.length && this.startMs + this.frames[0].length / SAMPLES_PER_MS < ms) {
      this.startMs += this.frames.shift().length / SAMPLES_PER_MS;
    }
  }

  // When the last word ended that was said before endMs, as performance.now().
  lastWordAt(endMs) {
    return this.heardAt - (this.endMs - Math.min(this.voicedMs || endMs, endMs));
  }
}

// One question, in one breath or several, and its answer.
class Exchange {
  // spans: [{id, startMs, sound, text, isWritten}] of what was said.
  constructor(spans = []) {
    this.spans = spans;
    this.answerId = null;
    this.answer = "";
    this.reason = null; // how the answer ended; null if it was broken off
    this.usage = null;
    this.latencyMs = null; // from the last word to the first sound
    this.playedMs = null; // once it is over
    this.receivedMs = 0;
    this.isOver = false;
    this.written = new Promise((done) => { this.onWritten = done; });
    this.retrieved = new Promise((done) => { this.onRetrieved = done; });
  }

  span(id) { return this.spans.find((span) => span.id === id); }

  heard() { return this.spans.map((span) => span.text.trim()).filter(Boolean).join(" "); }

  checkWritten() {
    if (this.spans.every((span) => span.isWritten)) this.onWritten();
  }

  // Nothing more will be told of it.
  giveUp() {
    this.onWritten();
    this.onRetrieved();
  }
}
