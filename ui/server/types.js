// Types of the HTTP API, for the type checker only.

/** @typedef {"queued" | "in_progress" | "completed" | "failed"} Status */
/** @typedef {"exact" | "fast"} Quality */
/** @typedef {"high" | "normal" | "low"} Priority */

/**
 * @typedef {object} Video
 * @property {string} id
 * @property {string | null} model
 * @property {Status} status
 * @property {number} progress whole percent
 * @property {string | null} stage what the worker is doing
 * @property {number | null} [preview] the number of the newest preview of the attempt
 * @property {number} created_at Unix seconds, as are the other times
 * @property {number | null} started_at
 * @property {number | null} completed_at
 * @property {number} expires_at
 * @property {string} prompt
 * @property {string | null} negative_prompt null, like all settings, if the request was not valid
 * @property {string | null} seconds from the first frame to the last
 * @property {string | null} size "WIDTHxHEIGHT"
 * @property {number | null} seed
 * @property {number | null} num_frames
 * @property {number | null} fps
 * @property {number | null} num_inference_steps
 * @property {number | null} guidance_scale
 * @property {Quality | null} quality
 * @property {Record<string, string>} metadata
 * @property {string | null} [user] who asked for it, in the caller's own words
 * @property {Priority | null} [priority] its order among one's own videos that wait
 * @property {number | null} queue_position 1 is next
 * @property {number | null} [own_queue_position] the same, among one's own
 * @property {number | null} [queue_accounts] how many accounts share the GPUs
 * @property {number | null} [eta_seconds] until it is completed
 * @property {number} attempt
 * @property {{code: string, message: string} | null} error
 * @property {{code: string, param: string, message: string}[]} warnings what has no effect on it
 * @property {{bytes: number, sha256: string, width: number, height: number, frames: number} | null} output
 * @property {Record<string, number> | null} timings seconds by stage
 * @property {string | null} model_revision
 * @property {{steps_computed: number | null, steps_reused: number | null} | null} [engine] how it was rendered
 * @property {string | null} [remixed_from_video_id]
 */

/**
 * @typedef {object} VideoPage
 * @property {Video[]} data newest first
 * @property {string | null} last_id
 * @property {boolean} has_more
 */

/** @typedef {{min: number, max: number, default: number}} Span */
/** @typedef {Span & {multiple: number}} LengthSpan lengths are one more than a multiple of `multiple` */

/**
 * The deployed model and its limits.
 *
 * @typedef {object} Model
 * @property {string} id
 * @property {string} title
 * @property {boolean} demo
 * @property {string[]} sizes suggestions, as "WIDTHxHEIGHT"
 * @property {string} default_size
 * @property {LengthSpan} num_frames
 * @property {number} max_text_tokens of a prompt, what is used
 * @property {Span} fps
 * @property {Span} num_inference_steps
 * @property {Span} guidance_scale
 * @property {Quality[]} qualities the default first
 * @property {string[]} example_prompts
 */

/**
 * The body of `POST /v1/videos`; omitted fields take the model's defaults.
 *
 * @typedef {object} VideoRequest
 * @property {string} prompt
 * @property {string} [negative_prompt]
 * @property {string} [model]
 * @property {string} [size]
 * @property {number} [num_frames]
 * @property {number} [fps]
 * @property {number} [num_inference_steps]
 * @property {number} [guidance_scale]
 * @property {string} [quality]
 * @property {string} [priority]
 * @property {number} [seed]
 */

/**
 * A CloudEvent about a video, from the event stream.
 *
 * @typedef {object} VideoEvent
 * @property {string} type such as "dev.kinora.video.completed.v1"
 * @property {string} subject the video's id
 * @property {{progress?: number, stage?: string, attempt?: number, preview?: number}} data
 */

/** @typedef {"video" | "thumbnail" | "spritesheet" | "preview"} Variant */

export {};
