// The shapes of the HTTP API, for the type checker; nothing here runs.

/** @typedef {"queued" | "in_progress" | "completed" | "failed"} Status */

/**
 * @typedef {object} Video
 * @property {string} id
 * @property {string} model
 * @property {Status} status
 * @property {number} progress whole percent
 * @property {string | null} stage what the worker does now
 * @property {number} created_at Unix seconds, as are the other times
 * @property {number | null} started_at
 * @property {number | null} completed_at
 * @property {number | null} expires_at
 * @property {string} prompt
 * @property {string} negative_prompt
 * @property {string} seconds from the first frame to the last
 * @property {string | null} size null if the request was not valid: "WIDTHxHEIGHT"
 * @property {number} seed
 * @property {number} num_frames
 * @property {number} fps
 * @property {number} num_inference_steps
 * @property {number} guidance_scale
 * @property {string | null} remixed_from_video_id the video whose settings it took over
 * @property {number | null} eta_seconds until it is done, as far as can be told
 * @property {number | null} queue_position 1 is next
 * @property {number} attempt
 * @property {{code: string, message: string} | null} error
 */

/**
 * @typedef {object} VideoPage
 * @property {Video[]} data newest first
 * @property {string | null} last_id
 * @property {boolean} has_more
 */

/** @typedef {{min: number, max: number, default: number, multiple?: number}} Span */

/**
 * What the deployed model can make.
 *
 * @typedef {object} Model
 * @property {string} id
 * @property {string} title
 * @property {boolean} demo
 * @property {string[]} sizes suggestions, as "WIDTHxHEIGHT"
 * @property {string} default_size
 * @property {Span} num_frames
 * @property {Span} fps
 * @property {Span} num_inference_steps
 * @property {Span} guidance_scale
 * @property {string[]} example_prompts
 */

/**
 * The body of `POST /v1/videos`; what is left out takes the model's default.
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
 * @property {number} [seed]
 */

export {};
