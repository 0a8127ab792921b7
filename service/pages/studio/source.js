/**
 * Where pictures come from: this page's own table, or a session that a tool feeds. The rest of the page knows no more.
 *
 * @typedef {import("./types.js").Shot} Shot
 * @typedef {import("./types.js").Lesson} Lesson
 *
 * @typedef {{lesson: Lesson | null, note: string | null}} Taught what was learned, or why nothing was
 *
 * @typedef {object} Source
 * @property {(files: File[], onTarget: boolean) => Promise<void>} add
 * @property {() => Promise<void>} rank
 * @property {() => Promise<Taught>} teach
 * @property {(lesson: Lesson) => Promise<Taught>} forget what this lesson came from
 * @property {() => Promise<{pair: [Shot, Shot] | null, reason: string}>} suggest
 * @property {(nearer: Shot, other: Shot) => Promise<Taught>} teachPair
 * @property {(shot: Shot) => Promise<Blob | null>} bytes of a picture, as large as they are to be had
 * @property {(shot: Shot, options: Record<string, unknown>) => Promise<Response>} heat
 * @property {(id: string) => Promise<void>} swapTarget
 * @property {(id: string) => Promise<void>} remove
 */

export {};
