/** Numbers in words that a person understands. */

/** @typedef {import("./types.js").Lesson} Lesson */

/** @param {number} share from 0 to 1 */
export function percent(share) {
  return `${Math.round(share * 100)} %`;
}

/** What an order has changed, in one or two sentences each. @param {Lesson} lesson @returns {{title: string, text: string[]}} */
export function lessonWords(lesson) {
  const { profile, guessed, taken, version, before, after, rankings } = lesson;
  const text = [];
  if (lesson.forgotten !== undefined) {
    text.push(rankings === 0 ? `${profile} has nothing left to go by, and answers as it began.` : `${profile} goes by the other ${rankings === 1 ? "one" : rankings}.`);
  }
  if (guessed !== undefined) {
    text.push(guessed === 1 ? `${profile} had guessed all of this before you said it.` : guessed === 0 ? `Before you said it, ${profile} had guessed none of this.` : `Before you said it, ${profile} had guessed ${percent(guessed)} of your pairs.`);
  }
  if (taken && before !== null && after !== null) {
    text.push(`On pictures that it had not seen, it now agrees with you on ${percent(after)} of pairs; before, on ${percent(before)}.`);
  } else if (lesson.proposed !== null && before !== null && after !== null) {
    text.push(
      after > before
        ? `A new version would agree with you on ${percent(after)} of pairs that it had not seen, instead of ${percent(before)}. That may be chance, so it waits for more of your orders.`
        : `It tried, and is not better yet on pairs that it had not seen: ${percent(after)} as you have them, ${percent(before)} before. So it answers as before, and waits for more of your orders.`,
    );
  } else if (!taken && guessed !== undefined) {
    text.push(rankings < 2 ? "It learns what carries over from one target to the next: order another target’s pictures, and it begins." : "It keeps this, and waits until enough orders bear it out.");
  }
  const kept = `Kept: ${profile} has ${rankings === 1 ? "your first order" : `${rankings} orders of yours`}`;
  return { title: lesson.forgotten !== undefined ? "Forgotten" : taken ? `Learned: ${profile} answers as version ${version}` : kept, text };
}

/** The numbers behind it. @param {Lesson} lesson @returns {[string, string][]} */
export function lessonNumbers(lesson) {
  /** @type {[string, string | number | null | undefined][]} */
  const rows = [
    ["version in use", lesson.version],
    ["version proposed", lesson.proposed],
    ["guessed before", share(lesson.guessed)],
    ["agreement before, on what was not seen", share(lesson.before)],
    ["agreement after, on the same", share(lesson.after)],
    ["plain LPIPS, on the same", share(lesson.lpips)],
    ["rankings", lesson.rankings],
    ["pairs in them", lesson.pairs],
    ["learned nothing of", lesson.unknown?.join(", ") || null],
    ["why", lesson.reason],
  ];
  return rows.flatMap(([name, value]) => (value == null ? [] : [[name, String(value)]]));
}

/** @param {number | null | undefined} value */
function share(value) {
  return value == null ? null : `${(value * 100).toFixed(1)} %`;
}
