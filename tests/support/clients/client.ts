// A TypeScript program that ranks, teaches and handles a 409, with types that openapi-typescript made of the document.
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

declare const process: { argv: string[] };

type Problem = components["schemas"]["ProblemDetails"];

const [url, named, target, ...candidates] = process.argv.slice(2) as [string, string, string, ...string[]];
const api = createClient<paths>({ baseUrl: url });

// The answer of a call that must not fail, in the type that the document gives it.
function good<T>(answer: { data?: T; error?: Problem; response: Response }): T {
  if (answer.error !== undefined) throw new Error(`${answer.error.type}: ${answer.error.detail}`);
  if (answer.data === undefined) throw new Error(`no data in an answer of status ${answer.response.status}`);
  return answer.data;
}

function file(base64: string): Blob {
  return new Blob([Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0))]);
}

const made = await api.POST("/profiles", { body: { name: "typescript" } });
const again = await api.POST("/profiles", { body: { name: good(made).name } });

// An image may be named by its hash; the 409 says which must be sent, and then they are.
const unsent = await api.POST("/rank", { body: { target: named, candidates, profile: "typescript" } });
if (unsent.response.status !== 409 || unsent.error === undefined) throw new Error("the hash of a new image was known");
const missing = unsent.error.errors?.map((fault) => fault.pointer) ?? [];
const ranked = good(
  await api.POST("/rank", {
    body: { target: missing.includes("/target") ? target : named, candidates, profile: "typescript" },
    params: { header: { "X-Request-Timeout-Ms": 20000, "X-Target-Hash": named.replace("sha256:", "") } },
  }),
);

// The same as a form; the target's features are held now, so its hash is enough, as a text part.
const form = good(
  await api.POST("/rank", {
    body: { target: named, candidates, profile: "typescript" },
    bodySerializer: (body) => {
      const parts = new FormData();
      parts.append("target", body.target);
      for (const candidate of body.candidates) parts.append("candidates", file(candidate));
      return parts;
    },
  }),
);

const order = ranked.ranking.map((row) => row.index).reverse();
const taught = good(
  await api.POST("/profiles/{name}/rankings", {
    params: { path: { name: "typescript" } },
    body: { comparison: ranked.comparison, order },
  }),
);
const detail = good(await api.GET("/profiles/{name}", { params: { path: { name: "typescript" }, query: { limit: 1 } } }));

console.log(
  JSON.stringify({
    again: [again.response.status, again.error?.type],
    unsent: [unsent.response.status, unsent.error.type, missing],
    json: ranked.ranking.map((row) => row.index),
    form: form.ranking.map((row) => row.index),
    taught: [taught.ranking, taught.rankings, detail.rankings],
  }),
);
