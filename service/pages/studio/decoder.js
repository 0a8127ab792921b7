/**
 * A worker: files become thumbnails. Each is decoded by the browser and drawn anew, so that what is shown has been
 * pixels in between; what is no picture ends here.
 */

const SIDE = 512; // longest side of a thumbnail, in pixels

self.addEventListener("message", async (event) => {
  const { id, file } = event.data;
  try {
    self.postMessage({ id, ...(await thumbnail(file)) });
  } catch {
    self.postMessage({ id, fault: true });
  }
});

/** @param {Blob} file */
async function thumbnail(file) {
  const decoded = await createImageBitmap(file); // orientation and colours applied
  const { width, height } = decoded;
  const scale = Math.min(1, SIDE / Math.max(width, height));
  const canvas = new OffscreenCanvas(Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale)));
  const context = canvas.getContext("2d", { alpha: false });
  if (context === null) throw new Error("no canvas");
  context.fillStyle = "#fff"; // alpha is composited on white, as the service does
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingQuality = "high";
  context.drawImage(decoded, 0, 0, canvas.width, canvas.height);
  decoded.close();
  return { blob: await canvas.convertToBlob({ type: "image/jpeg", quality: 0.88 }), width, height };
}
