import { requestOf } from "./request.js";

/** @typedef {import("../server/types.js").Video} Video */

/**
 * A shell command that produces the same video again. It reads the API key from the environment.
 *
 * @param {Video} video
 * @param {string} origin such as "https://kinora.example"
 * @param {boolean} withKey whether the server requires an API key
 */
export function asCurl(video, origin, withKey) {
  const lines = [
    `curl -s ${shellQuoted(`${origin}/v1/videos`)}`,
    ...(withKey ? ['-H "Authorization: Bearer $KINORA_API_KEY"'] : []),
    "-H 'content-type: application/json'",
    `-d ${shellQuoted(JSON.stringify(requestOf(video)))}`,
  ];
  return `${lines.join(" \\\n  ")}\n`;
}

/**
 * A program for the openai package that does the same. Fields that its `create` has no parameter for
 * go into `extra_body`.
 *
 * @param {Video} video
 * @param {string} origin
 * @param {boolean} withKey
 */
export function asPython(video, origin, withKey) {
  const { prompt, size, ...extra } = requestOf(video);
  const key = withKey ? 'os.environ["KINORA_API_KEY"]' : '"any"';
  return [
    ...(withKey ? ["import os", ""] : []),
    "from openai import OpenAI  # pip install openai",
    "",
    `client = OpenAI(base_url=${literal(`${origin}/v1`)}, api_key=${key})`,
    "video = client.videos.create_and_poll(",
    `    prompt=${literal(prompt)},`,
    ...(size ? [`    size=${literal(size)},`] : []),
    `    extra_body={`,
    ...Object.entries(extra).map(([name, value]) => `        ${literal(name)}: ${literal(value)},`),
    "    },",
    ")",
    'client.videos.download_content(video.id).write_to_file(f"{video.id}.mp4")',
    "",
  ].join("\n");
}

/** In single quotes, where a POSIX shell interprets only the closing quote. @param {string} text */
function shellQuoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** A Python literal: strings and numbers are written as in JSON. @param {string | number | undefined} value */
function literal(value) {
  return JSON.stringify(value);
}
