/** @typedef {import("../server/types.js").Video} Video */

/** The request that makes the same video again. @param {Video} video @returns {Record<string, string | number>} */
function requestOf(video) {
  const settings = {
    prompt: video.prompt,
    negative_prompt: video.negative_prompt,
    size: video.size,
    num_frames: video.num_frames,
    fps: video.fps,
    num_inference_steps: video.num_inference_steps,
    guidance_scale: video.guidance_scale,
    seed: video.seed,
  };
  /** @type {Record<string, string | number>} */
  const filled = {};
  for (const [name, value] of Object.entries(settings)) {
    if (value !== null && value !== undefined && value !== "") filled[name] = value;
  }
  return filled;
}

/**
 * A shell command that makes the video again. The API key stays out of it.
 *
 * @param {Video} video
 * @param {string} origin such as "https://kinora.example"
 * @param {boolean} withKey whether the server asks for one
 */
export function asCurl(video, origin, withKey) {
  const lines = [
    `curl -s ${quoted(`${origin}/v1/videos`)}`,
    ...(withKey ? ['-H "Authorization: Bearer $KINORA_API_KEY"'] : []),
    "-H 'content-type: application/json'",
    `-d ${quoted(JSON.stringify(requestOf(video)))}`,
  ];
  return `${lines.join(" \\\n  ")}\n`;
}

/**
 * The same with the openai package; what its `create` has no name for goes into `extra_body`.
 *
 * @param {Video} video
 * @param {string} origin
 * @param {boolean} withKey
 */
export function asPython(video, origin, withKey) {
  const { prompt, size, ...extra } = requestOf(video);
  const key = withKey ? 'os.environ["KINORA_API_KEY"]' : '"any"';
  const named = Object.entries({ prompt, size }).filter(([, value]) => value !== undefined);
  return [
    ...(withKey ? ["import os", ""] : []),
    "from openai import OpenAI  # pip install openai",
    "",
    `client = OpenAI(base_url=${literal(`${origin}/v1`)}, api_key=${key})`,
    "video = client.videos.create_and_poll(",
    ...named.map(([name, value]) => `    ${name}=${literal(value)},`),
    `    extra_body={`,
    ...Object.entries(extra).map(([name, value]) => `        ${literal(name)}: ${literal(value)},`),
    "    },",
    ")",
    'client.videos.download_content(video.id).write_to_file(f"{video.id}.mp4")',
    "",
  ].join("\n");
}

/** For a POSIX shell, which reads nothing but the closing quote in single quotes. @param {string} text */
function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** Texts and numbers are written in Python as in JSON. @param {unknown} value */
function literal(value) {
  return JSON.stringify(value);
}
