// The live player: takes numbered PCM16 chunks out of the component's value as they arrive, plays
// them at once, and keeps the counters in `window.kimiPlayers[name].stats`.
//
// Value (JSON): {run, rate, chunks: [{seq, pcm}], end}. Every value repeats the last few
// chunks, so that one the browser skipped is made up by the next; `seq` tells them apart.

const BLOCKED_AFTER_MS = 400;
const DUCKED = 0.25; // -12 dB
const part = (name) => element.querySelector(".live-" + name);
const root = element.querySelector(".live");
const toggle = part("toggle");
const volumeInput = element.querySelector(".live-volume input");

class LivePlayer {
  constructor(rate) {
    this.rate = rate;
    this.wave = new Wave(part("wave"), rate);
    this.accepting = true;
    this.retired = new Set(); // runs that were stopped: their late chunks stay silent
    this.reset(null);
    this.show("idle");
  }

  reset(runId) {
    this.stats = {
      runId, received: 0, played: 0, gaps: 0, underruns: 0, underrunMs: 0,
      firstSoundMs: null, receivedAtFirstSound: null, stopMs: null, state: "idle", output: null,
    };
    this.pieces = []; // the whole run, for playing it again
    this.nextSeq = 0;
    this.ended = false;
    this.wave.clear();
    part("caption").textContent = "";
  }

  // Opens the loudspeaker once; browsers allow sound only after the visitor touched the page.
  unlock() {
    this.opening ||= openOutput(this.rate, (report) => this.onReport(report)).then((opened) => {
      Object.assign(this, opened);
      this.volume.gain.value = volumeInput.value / 100;
    });
    this.context?.resume();
    return this.opening;
  }

  // Called when the visitor asks for speech, before the server knows. since: when they had asked.
  begin(since = performance.now()) {
    this.retire();
    this.accepting = true;
    this.beganAt = since;
    this.unlock().then(() => this.output.stop());
    this.reset(null);
    this.show("waiting");
  }

  // Resolves once it is silent, to how many samples were played.
  stop() {
    this.retire();
    this.accepting = false;
    this.stoppedAt = performance.now();
    const silenced = new Promise((done) => { this.onSilenced = done; });
    if (["waiting", "buffering", "playing", "paused", "blocked"].includes(this.stats.state)) this.show("stopped");
    if (this.output) this.output.stop();
    else this.onSilenced(0);
    return silenced;
  }

  // Quieter while somebody may be talking over it.
  duck(isDucked) {
    this.ducked = isDucked;
    this.setVolume(0.005);
  }

  setVolume(slownessS) {
    const gain = (volumeInput.value / 100) * (this.ducked ? DUCKED : 1);
    this.volume?.gain.setTargetAtTime(gain, this.context.currentTime, slownessS);
  }

  retire() {
    if (this.stats.runId) this.retired.add(this.stats.runId);
  }

  receive(message, caption) {
    if (!this.accepting) this.retired.add(message.run);
    if (this.retired.has(message.run)) return;
    if (message.run !== this.stats.runId) this.startRun(message.run);
    part("caption").textContent = caption;
    const fresh = message.chunks.filter((chunk) => chunk.seq >= this.nextSeq);
    for (const chunk of fresh) this.take(chunk);
    if (message.end && !this.ended) this.finish();
  }

  startRun(runId) {
    if (this.stats.runId) this.unlock().then(() => this.output.flush());
    this.reset(runId);
    this.beganAt ??= performance.now();
    this.show("waiting");
  }

  take(chunk) {
    this.stats.gaps += chunk.seq - this.nextSeq;
    this.nextSeq = chunk.seq + 1;
    const samples = decodePcm16(chunk.pcm);
    this.stats.received += samples.length;
    this.pieces.push(samples);
    this.wave.push(samples);
    this.feed(samples);
    if (this.stats.state === "waiting") {
      this.show("buffering");
      setTimeout(() => this.admitBlocked(), BLOCKED_AFTER_MS);
    }
    this.draw();
  }

  // Sound is ready, yet the browser keeps the loudspeaker shut: only a click can help.
  admitBlocked() {
    const shut = this.context && this.context.state === "suspended";
    if (shut && this.stats.state === "buffering") this.show("blocked");
  }

  feed(samples) {
    const run = this.stats.runId;
    this.unlock().then(() => {
      if (this.stats.runId === run) this.output.push(samples.slice());
    });
  }

  finish() {
    this.ended = true;
    this.unlock().then(() => this.output.end());
    if (this.stats.received === 0) this.show("ended");
  }

  replay() {
    const { pieces } = this;
    this.output.flush();
    this.stats.played = 0;
    this.show("buffering");
    pieces.forEach((piece) => this.feed(piece));
    this.unlock().then(() => this.output.end());
  }

  onReport(report) {
    if (report.silenced) this.onSilenced?.(report.played);
    if (this.stats.state === "stopped" || this.stats.state === "idle") {
      if (report.silenced) this.stats.stopMs = Math.round(performance.now() - this.stoppedAt);
      this.stats.played = report.silenced ? report.played : this.stats.played;
      return;
    }
    if (this.stats.state === "waiting" || report.silenced) return; // late news of an older run
    const { played, underruns, underrunMs, peak } = report;
    Object.assign(this.stats, { played, underruns, underrunMs, peak, output: this.output.kind });
    if (report.first) this.onFirstSound();
    if (report.drained) this.show("ended");
    else if (this.stats.state !== "paused") this.show(report.flowing ? "playing" : "buffering");
    this.draw();
  }

  onFirstSound() {
    const latencyMs = 1000 * (this.context.outputLatency || this.context.baseLatency || 0);
    this.stats.receivedAtFirstSound ??= this.stats.received;
    this.stats.firstSoundMs ??= Math.round(performance.now() - this.beganAt + latencyMs);
    this.beganAt = undefined;
  }

  togglePlay() {
    this.unlock();
    const { state } = this.stats;
    if (state === "ended" || state === "stopped") this.replay();
    else if (state === "paused") { this.output.resume(); this.show("playing"); }
    else if (state === "playing" || state === "buffering") { this.output.pause(); this.show("paused"); }
    else if (state === "blocked") this.show("buffering");
  }

  show(state) {
    this.stats.state = state;
    if (root.dataset.state === state) return;
    root.dataset.state = state;
    const running = state === "playing" || state === "buffering";
    const again = state === "ended" || state === "stopped";
    const heard = this.stats.received > 0;
    toggle.disabled = !heard;
    toggle.setAttribute("aria-label", WORDS[running ? "player_pause" : again ? "player_replay" : "player_play"]);
    part("status").textContent = WORDS["player_" + state];
    this.draw();
    this.onstate?.(state);
  }

  draw() {
    const { played, received } = this.stats;
    this.wave.show(received ? played / received : 0);
    part("time").textContent = received ? clock(played / this.rate) + " / " + clock(received / this.rate) : "";
  }
}

function clock(seconds) {
  const tenths = Math.floor(seconds * 10);
  const minutes = Math.floor(tenths / 600);
  return minutes + ":" + ((tenths % 600) / 10).toFixed(1).padStart(4, "0");
}

root.setAttribute("aria-label", WORDS.player);
volumeInput.setAttribute("aria-label", WORDS.player_volume);
const player = new LivePlayer(props.rate);
window.kimiPlayers = { ...window.kimiPlayers, [props.name]: player };
watch(["value", "caption"], () => props.value && player.receive(JSON.parse(props.value), props.caption));
toggle.addEventListener("click", () => player.togglePlay());
volumeInput.addEventListener("input", () => player.setVolume(0.01));
for (const gesture of ["pointerdown", "keydown"]) {
  document.addEventListener(gesture, () => player.unlock(), { capture: true, passive: true });
}
