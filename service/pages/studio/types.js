/**
 * What the modules hand to each other. Nothing runs here: the types are for the checker and the reader.
 *
 * @typedef {object} Shot a picture on the table: the target, or a candidate
 * @property {string} id of this page alone
 * @property {string} name the file's, or what the tool's prompt says; text that anybody may have written
 * @property {Blob | null} file its bytes, where this page has them
 * @property {Thumbnail | null} thumbnail null until it is decoded, and where it cannot be
 * @property {string | null} sha the service's name for it, `sha256:…`, once it has been scored
 * @property {string | null} fault why it cannot be used, for a person to read
 * @property {string | null} prompt
 * @property {number | null} step
 * @property {number | null} index its place in the session that a tool feeds
 *
 * @typedef {{url: string, width: number, height: number}} Thumbnail a decoded picture, drawn anew; sides of the original
 *
 * @typedef {{distance: number, base: number}} Scored distances from the target: by the profile, and by plain LPIPS
 *
 * @typedef {"order" | "best" | "top"} Said how much of my order I mean: all of it, its first, or its first few
 *
 * @typedef {object} Order what a person says of the candidates
 * @property {readonly string[]} ids the most similar first
 * @property {ReadonlySet<string>} tied those that share the rank of the one before them
 * @property {readonly string[]} out left out: nothing is said of them
 * @property {Said} said
 * @property {number} top how many the person means where `said` is `top`
 *
 * @typedef {object} Lesson what the service answered to an order
 * @property {string} profile
 * @property {number} version in use now
 * @property {boolean} taken
 * @property {string} reason
 * @property {string | null} waiting
 * @property {number | null} proposed
 * @property {number | null} before
 * @property {number | null} after
 * @property {number | null} lpips
 * @property {number} rankings
 * @property {number | null} pairs
 * @property {number} [ranking]
 * @property {number} [guessed]
 * @property {string[]} [unknown]
 * @property {number} [forgotten]
 *
 * @typedef {{name: string, version: number, taught: boolean}} Chosen the profile in use; shipped weights are not taught
 *
 * @typedef {object} Summary a profile in a list
 * @property {string} name
 * @property {string} parent
 * @property {number} version
 * @property {number} rankings
 *
 * @typedef {object} Version one version of a profile
 * @property {number} number
 * @property {string} origin
 * @property {string} status
 * @property {string} created
 * @property {{agreement: {pair_agreement: number}, parent: {pair_agreement: number}, lpips: {pair_agreement: number},
 *   rankings: number, pairs: number, held_out: string, reason: string}} [fit]
 *
 * @typedef {object} State all that the page shows
 * @property {Shot | null} target
 * @property {readonly Shot[]} shots the candidates, in the order they came
 * @property {ReadonlyMap<string, Scored>} scores by the candidate's id
 * @property {Order} mine
 * @property {boolean} touched whether I have changed the order; until then it follows the metric's
 * @property {Chosen} profile
 * @property {"profile" | "lpips"} shown whose order stands beside mine
 * @property {string | null} comparison the service's name for the last ranking of all candidates
 * @property {Lesson | null} lesson the last one
 * @property {{id: string, live: boolean, title: string, ended?: boolean} | null} session the one that a tool feeds
 * @property {string | null} current the candidate that has the keyboard, or was touched last
 */

export {};
