// Draws what was received as bars: the played part in the accent colour, the rest muted.

const BIN_S = 0.02;
const BAR_PX = 3;
const PITCH_PX = 5; // a bar and its gap
const SHORTEST_BAR_S = 0.04;

class Wave {
  constructor(canvas, rate) {
    this.canvas = canvas;
    this.binSamples = Math.round(BIN_S * rate);
    this.clear();
    new ResizeObserver(() => this.show(this.fraction)).observe(canvas);
  }

  clear() {
    this.peaks = [];
    this.partial = 0; // samples in the last, unfinished bin
    this.fraction = 0;
  }

  push(samples) {
    for (let i = 0; i < samples.length; i += 1) {
      if (this.partial === 0) this.peaks.push(0);
      const last = this.peaks.length - 1;
      this.peaks[last] = Math.max(this.peaks[last], Math.abs(samples[i]));
      this.partial = (this.partial + 1) % this.binSamples;
    }
  }

  // fraction: share of the received sound that was played, 0 to 1. Draws once a frame at most.
  show(fraction) {
    this.fraction = fraction;
    this.frame ||= requestAnimationFrame(() => {
      this.frame = null;
      this.draw();
    });
  }

  draw() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (width === 0) return;
    const pen = this.blankPen(width, height);
    const style = getComputedStyle(this.canvas);
    const [played, ahead, empty] = ["accent", "ahead", "empty"].map((name) =>
      style.getPropertyValue("--live-" + name).trim());
    const bars = Math.floor(width / PITCH_PX);
    const binsPerBar = Math.max(SHORTEST_BAR_S / BIN_S, this.peaks.length / bars);
    for (let index = 0; index < bars; index += 1) {
      const bin = index * binsPerBar;
      const known = bin < this.peaks.length;
      pen.fillStyle = !known ? empty : bin < this.fraction * this.peaks.length ? played : ahead;
      const tall = Math.max(BAR_PX, this.loudness(bin, bin + binsPerBar) * height);
      pen.fillRect(index * PITCH_PX, (height - tall) / 2, BAR_PX, tall);
    }
  }

  // Square root: quiet sounds stay visible.
  loudness(fromBin, toBin) {
    return Math.sqrt(Math.max(0, ...this.peaks.slice(Math.floor(fromBin), Math.floor(toBin))));
  }

  blankPen(width, height) {
    const scale = window.devicePixelRatio || 1;
    const { canvas } = this;
    const pen = canvas.getContext("2d");
    if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
      canvas.width = Math.round(width * scale);
      canvas.height = Math.round(height * scale);
    }
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, width, height);
    return pen;
  }
}
