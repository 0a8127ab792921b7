/** Pictures come in: dropped, pasted, or chosen, as files or whole folders. */

const PICTURES = /\.(png|jpe?g|webp|avif|bmp|tiff?|gif|npy)$/i;
const MOST = 500;

/** Whether a file's name or kind is a picture's. @param {File} file */
export function looksLikePicture(file) {
  return file.type.startsWith("image/") || PICTURES.test(file.name);
}

/** Listen for pictures anywhere on the page. @param {(files: File[], onTarget: boolean) => void} take */
export function listenForPictures(take) {
  let depth = 0;
  const over = (/** @type {boolean} */ is) => document.body.classList.toggle("over", is);
  addEventListener("dragenter", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    depth += 1;
    over(true);
  });
  addEventListener("dragover", (event) => {
    if (carriesFiles(event)) event.preventDefault();
  });
  addEventListener("dragleave", (event) => {
    if (!carriesFiles(event)) return;
    depth = Math.max(0, depth - 1);
    over(depth > 0);
  });
  addEventListener("drop", async (event) => {
    if (!carriesFiles(event) || event.dataTransfer === null) return;
    event.preventDefault();
    depth = 0;
    over(false);
    const onTarget = event.target instanceof Element && event.target.closest("#target") !== null;
    const files = await droppedFiles(event.dataTransfer);
    if (files.length > 0) take(files, onTarget);
  });
  addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (files.length === 0) return;
    event.preventDefault();
    take(files.map(named), false);
  });
}

/** Ask for files. @param {{folder?: boolean, many?: boolean, accept?: string}} how @param {(files: File[]) => void} take */
export function chooseFiles(how, take) {
  const input = document.createElement("input");
  input.type = "file";
  input.multiple = how.many ?? true;
  if (how.folder) input.webkitdirectory = true;
  else input.accept = how.accept ?? "image/*,.npy";
  input.hidden = true;
  document.body.append(input); // one that is not on the page may be gone before it is answered
  input.addEventListener("cancel", () => input.remove());
  input.addEventListener("change", () => {
    input.remove();
    const files = [...(input.files ?? [])];
    const found = how.folder ? files.filter((file) => PICTURES.test(file.name)).sort(byName) : files;
    if (found.length > 0) take(found.slice(0, MOST));
  });
  input.click();
}

/** @param {DragEvent} event */
function carriesFiles(event) {
  return event.dataTransfer?.types.includes("Files") ?? false;
}

/** Files, and those within folders. @param {DataTransfer} carried @returns {Promise<File[]>} */
async function droppedFiles(carried) {
  const entries = [...carried.items].map((item) => item.webkitGetAsEntry?.() ?? null);
  if (!entries.some((entry) => entry?.isDirectory)) return [...carried.files].slice(0, MOST);
  /** @type {File[]} */
  const found = [];
  for (const entry of entries) if (entry !== null) await walk(entry, found, 0);
  return found.sort(byName);
}

/** @param {FileSystemEntry} entry @param {File[]} found @param {number} depth */
async function walk(entry, found, depth) {
  if (found.length >= MOST || depth > 4) return;
  if (entry.isFile) {
    if (!PICTURES.test(entry.name) && depth > 0) return;
    found.push(await new Promise((resolve, reject) => /** @type {FileSystemFileEntry} */ (entry).file(resolve, reject)));
    return;
  }
  const reader = /** @type {FileSystemDirectoryEntry} */ (entry).createReader();
  for (;;) {
    /** @type {FileSystemEntry[]} */
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (some.length === 0) return;
    for (const one of some) await walk(one, found, depth + 1);
  }
}

/** Pasted screenshots are all called `image.png`: the moment tells them apart. @param {File} file */
function named(file) {
  if (file.name !== "image.png") return file;
  return new File([file], `pasted ${new Date().toLocaleTimeString()}.png`, { type: file.type });
}

/** @param {File} a @param {File} b */
function byName(a, b) {
  return a.name.localeCompare(b.name, undefined, { numeric: true });
}
