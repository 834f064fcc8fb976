// What a user of the generated TypeScript types does, with openapi-fetch; `test_generated_clients.py`
// checks its types and runs it. The first argument is the gateway's URL.
import createClient from "openapi-fetch";
import type { components, paths } from "./schema";

type Video = components["schemas"]["Video"];

declare const process: { argv: string[] };

const PROMPT = "a red circle moving right";
const client = createClient<paths>({ baseUrl: process.argv[2] });

function check(condition: unknown, found: unknown): asserts condition {
  if (!condition) throw new Error(JSON.stringify(found));
}

async function create(body: components["schemas"]["CreateVideo"]): Promise<Video> {
  const { data, error } = await client.POST("/v1/videos", { body });
  check(data, error);
  return data;
}

async function completed(id: string): Promise<Video> {
  for (;;) {
    const { data, error, response } = await client.GET("/v1/videos/{video_id}", { params: { path: { video_id: id } } });
    check(data, error);
    check(data.status !== "failed", data.error);
    if (data.status === "completed") return data;
    // The server says how often to ask.
    const pause = Number(response.headers.get("openai-poll-after-ms"));
    await new Promise((done) => setTimeout(done, pause));
  }
}

async function download(id: string, variant: "video" | "thumbnail"): Promise<Uint8Array> {
  const params = { path: { video_id: id }, query: { variant } };
  const { data, error } = await client.GET("/v1/videos/{video_id}/content", { params, parseAs: "arrayBuffer" });
  check(data, error);
  return new Uint8Array(data);
}

async function checkList(...expected: Video[]): Promise<void> {
  let after: string | undefined;
  for (const video of expected.reverse()) {
    const { data, error } = await client.GET("/v1/videos", { params: { query: { limit: 1, after } } });
    check(data, error);
    check(data.data.length === 1 && data.data[0]?.id === video.id, data);
    after = data.last_id ?? undefined;
  }
}

const health = await client.GET("/health");
check(health.data?.status === "available", health.error);
// Only the fields that are meant: none of the others is required.
const first = await create({ prompt: PROMPT, size: "64x96", num_inference_steps: 2 });
check(first.size === "64x96", first);
const second = await create({ prompt: PROMPT, width: 64, height: 96, num_inference_steps: 2, metadata: { run: first.id } });
check(second.size === "64x96" && second.metadata["run"] === first.id, second);
const remix = await client.POST("/v1/videos/{video_id}/remix", {
  params: { path: { video_id: first.id } },
  body: { prompt: "a blue square" },
});
check(remix.data?.remixed_from_video_id === first.id, remix);
const done = await completed(first.id);
const [video, thumbnail] = [await download(first.id, "video"), await download(first.id, "thumbnail")];
check(video.length === done.output?.bytes, done.output);
check(thumbnail[0] === 0xff && thumbnail[1] === 0xd8, thumbnail.slice(0, 4));
await checkList(first, second, remix.data);
const tagged = await client.GET("/v1/videos", { params: { query: { metadata: { run: first.id } } } });
check(tagged.data?.data.map((found) => found.id).join() === second.id, tagged);
const wrong = await client.POST("/v1/videos", { body: { prompt: PROMPT, width: 1 } });
check(wrong.error?.error.param === "width", wrong);
for (const { id } of [first, second, remix.data]) {
  const deleted = await client.DELETE("/v1/videos/{video_id}", { params: { path: { video_id: id } } });
  check(deleted.data?.deleted, deleted.error);
}
