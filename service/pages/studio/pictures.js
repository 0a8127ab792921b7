/**
 * Files → decoded pictures, in a worker; and full-size pixels for who looks closely.
 *
 * @typedef {import("./types.js").Thumbnail} Thumbnail
 */

/** @type {Map<number, (answer: any) => void>} */
const expected = new Map();
let number = 0;

/** A thumbnail of a file; null where the browser cannot decode it. @param {Blob} file @returns {Promise<Thumbnail | null>} */
export async function thumbnailOf(file) {
  const id = (number += 1);
  const answer = await new Promise((resolve) => {
    expected.set(id, resolve);
    worker(id).postMessage({ id, file });
  });
  if (answer.fault) return null;
  return { url: URL.createObjectURL(answer.blob), width: answer.width, height: answer.height };
}

/** Forget a thumbnail's pixels. @param {Thumbnail | null | undefined} thumbnail */
export function forget(thumbnail) {
  if (thumbnail) URL.revokeObjectURL(thumbnail.url);
}

/** Draw a picture at its own size, on white; false where it cannot be decoded.
 * @param {HTMLCanvasElement} canvas @param {Blob} file @param {number} most longest side, in pixels */
export async function draw(canvas, file, most = 4096) {
  let decoded;
  try {
    decoded = await createImageBitmap(file);
  } catch {
    return false;
  }
  const scale = Math.min(1, most / Math.max(decoded.width, decoded.height));
  canvas.width = Math.max(1, Math.round(decoded.width * scale));
  canvas.height = Math.max(1, Math.round(decoded.height * scale));
  const context = canvas.getContext("2d", { alpha: false });
  if (context === null) return false;
  context.fillStyle = "#fff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingQuality = "high";
  context.drawImage(decoded, 0, 0, canvas.width, canvas.height);
  decoded.close();
  return true;
}

/** One of two workers, in turn: the service wants the other cores. @param {number} turn */
function worker(turn) {
  return /** @type {Worker} */ (workers[turn % workers.length]);
}

function started() {
  const address = new URL("decoder.js", import.meta.url);
  const made = new Worker(trusted(address.href), { type: "module" });
  made.addEventListener("message", ({ data }) => {
    expected.get(data.id)?.(data);
    expected.delete(data.id);
  });
  return made;
}

const types = /** @type {any} */ (globalThis).trustedTypes;
const policy = types?.createPolicy("studio", { createScriptURL: (/** @type {string} */ own) => own });

/** The address of a script, as the page's policy wants it; no other is made from a string.
 * @param {string} address @returns {string} */
function trusted(address) {
  return policy ? policy.createScriptURL(address) : address;
}

/** They start with the page: where the service is away later on, pictures are decoded all the same. */
const workers = [started(), started()];
