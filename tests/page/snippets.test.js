import { deepEqual, equal, ok } from "node:assert/strict";
import { test } from "node:test";
import { requestOf } from "../../ui/videos/request.js";
import { asCurl, asPython } from "../../ui/videos/snippets.js";
import { videoOf } from "./fakes.js";

const ORIGIN = "https://kinora.example";
const PROMPT = `it's "quoted" $HOME \`id\` \\ 🎈\nnext line`;

test("a request has the prompt, all settings and the seed", () => {
  deepEqual(requestOf(videoOf("v1", { prompt: "a whale", negative_prompt: "blue" })), {
    prompt: "a whale", negative_prompt: "blue", size: "96x64", num_frames: 25, fps: 12,
    num_inference_steps: 16, guidance_scale: 9, quality: "exact", seed: 7,
  });
});

test("what a video does not have is left out, and a seed of 0 is not", () => {
  const request = requestOf(videoOf("v1", { negative_prompt: "", fps: null, seed: 0 }));
  equal("negative_prompt" in request, false);
  equal("fps" in request, false);
  equal(request.seed, 0);
});

test("curl gets the request as JSON, quoted for the shell", () => {
  const command = asCurl(videoOf("v1", { prompt: PROMPT }), ORIGIN, false);
  ok(command.startsWith(`curl -s '${ORIGIN}/v1/videos'`));
  const quoted = /-d '([^]*)'\n$/.exec(command)?.[1] ?? "";
  ok(!quoted.replaceAll("'\\''", "").includes("'"));
  deepEqual(JSON.parse(quoted.replaceAll("'\\''", "'")), requestOf(videoOf("v1", { prompt: PROMPT })));
});

test("the API key is read from the environment, and only where one is needed", () => {
  const video = videoOf("v1");
  ok(asCurl(video, ORIGIN, true).includes('-H "Authorization: Bearer $KINORA_API_KEY"'));
  ok(asPython(video, ORIGIN, true).includes('api_key=os.environ["KINORA_API_KEY"]'));
  ok(!asCurl(video, ORIGIN, false).includes("KINORA_API_KEY"));
  ok(!asPython(video, ORIGIN, false).includes("import os"));
});

test("Python gets what the openai client has no parameter for in extra_body", () => {
  const lines = asPython(videoOf("v1", { prompt: PROMPT }), ORIGIN, false).split("\n");
  ok(lines.includes(`client = OpenAI(base_url="${ORIGIN}/v1", api_key="any")`));
  ok(lines.includes(`    prompt=${JSON.stringify(PROMPT)},`));
  ok(lines.includes('    size="96x64",'));
  ok(lines.includes('        "seed": 7,'));
});
