// Sound between the wire, base64 of PCM16 (little endian, as every browser's machine), and the
// loudspeaker, Float32Array in [-1, 1]. Plain loops: they run many times while speech comes in.

function decodePcm16(text) {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let n = 0; n < bytes.length; n += 1) bytes[n] = binary.charCodeAt(n);
  const pcm = new Int16Array(bytes.buffer);
  const samples = new Float32Array(pcm.length);
  for (let n = 0; n < pcm.length; n += 1) samples[n] = pcm[n] / 32768;
  return samples;
}

function encodePcm16(samples) {
  const pcm = new Int16Array(samples.length);
  for (let n = 0; n < pcm.length; n += 1) pcm[n] = Math.round(32767 * Math.max(-1, Math.min(1, samples[n])));
  const bytes = new Uint8Array(pcm.buffer);
  let binary = "";
  for (let n = 0; n < bytes.length; n += 8192) binary += String.fromCharCode(...bytes.subarray(n, n + 8192));
  return btoa(binary);
}

function joined(pieces) {
  const all = new Float32Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  pieces.reduce((at, piece) => (all.set(piece, at), at + piece.length), 0);
  return all;
}
