import { announce } from "./browser/dom.js";
import { ApiError } from "./server/api.js";
import { shortPrompt } from "./videos/labels.js";
import { Removal } from "./videos/removal.js";

/** @typedef {import("./compose/form.js").VideoForm} VideoForm */
/** @typedef {import("./compose/submission.js").Submission} Submission */
/** @typedef {import("./page/router.js").Router} Router */
/** @typedef {import("./page/toasts.js").Toasts} Toasts */
/** @typedef {import("./server/api.js").Api} Api */
/** @typedef {import("./server/media.js").Media} Media */
/** @typedef {import("./server/types.js").Variant} Variant */
/** @typedef {import("./server/types.js").Video} Video */
/** @typedef {import("./videos/available_actions.js").Actions} Actions */
/** @typedef {import("./videos/library.js").Library} Library */

/**
 * What can be done with a video, from the gallery and from the detail view.
 *
 * @param {{api: Api, library: Library, media: Media, toasts: Toasts, submission: Submission,
 *   router: Router, form: VideoForm}} parts
 * @returns {Actions}
 */
export function actionsOn({ api, library, media, toasts, submission, router, form }) {
  const removal = new Removal(api, library, {
    undo: (undo, over) => toasts.show("The video was deleted.", { label: "Undo", chosen: undo, over }),
    failed: (video, error) => toasts.show(`${shortPrompt(video.prompt)} was not deleted: ${error.message}`),
  });
  return {
    async cancel(video) {
      try {
        library.put(await api.cancel(video.id));
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        toasts.show(`It was not cancelled: ${error.message}`);
      }
    },
    remove(video) {
      router.close();
      removal.remove(video);
      announce("Deleted. The Undo button is at the end of the page.");
    },
    remix(video) {
      router.close();
      form.fill(video);
    },
    async again(video) {
      const { error } = await submission.send([sameAgain(video)]);
      if (error) toasts.show(`It was not sent: ${error.message}`);
      else router.close();
    },
    download: (video) => save(media, toasts, video, "video"),
  };
}

/** @param {Media} media @param {Toasts} toasts @param {Video} video @param {Variant} variant */
export async function save(media, toasts, video, variant) {
  try {
    const link = document.createElement("a");
    link.href = await media.url(video.id, variant);
    link.download = `${video.id}${variant === "video" ? ".mp4" : ".jpg"}`;
    link.click();
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    toasts.show(`It can't be downloaded: ${error.message}`);
  }
}

/** @param {Video} video one with valid settings */
function sameAgain(video) {
  const { prompt, negative_prompt, size, num_frames, fps, num_inference_steps, guidance_scale, seed } = video;
  const settings = { negative_prompt, size, num_frames, fps, num_inference_steps, guidance_scale, seed };
  const known = Object.entries(settings).filter(([, value]) => value !== null && value !== "");
  return { prompt, ...Object.fromEntries(known) };
}
