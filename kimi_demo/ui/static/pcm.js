// Sound between the wire and the loudspeaker: (T,) Float32Array in [-1, 1].

function decodePcm16(text) {
  const binary = atob(text);
  const bytes = Uint8Array.from(binary, (character) => character.charCodeAt(0));
  return Float32Array.from(new Int16Array(bytes.buffer), (value) => value / 32768);
}

// base64 of PCM16, little endian, of samples in [-1, 1].
function encodePcm16(samples) {
  const view = new DataView(new ArrayBuffer(2 * samples.length));
  samples.forEach((sample, n) => view.setInt16(2 * n, Math.round(32767 * Math.max(-1, Math.min(1, sample))), true));
  const bytes = new Uint8Array(view.buffer);
  let binary = "";
  for (let n = 0; n < bytes.length; n += 8192) binary += String.fromCharCode(...bytes.subarray(n, n + 8192));
  return btoa(binary);
}

function joined(pieces) {
  const all = new Float32Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  pieces.reduce((at, piece) => (all.set(piece, at), at + piece.length), 0);
  return all;
}
