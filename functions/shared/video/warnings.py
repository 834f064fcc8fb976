"""What a video's caller should know: which part of the request has no effect, and why."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from functions.shared.video.requests import ResolvedRequest

# Of a prompt's used part, enough of its end to find the place by.
EXCERPT_CHARACTERS: Final = 40


class WarningCode(StrEnum):
    """The codes of warnings."""

    PROMPT_TRUNCATED = "prompt_truncated"
    NEGATIVE_PROMPT_IGNORED = "negative_prompt_ignored"
    SECONDS_IGNORED = "seconds_ignored"


class VideoWarning(BaseModel):
    """A part of the request that has no effect on the video."""

    # Later versions may have more fields and codes, which this version accepts.
    model_config = ConfigDict(frozen=True, extra="ignore")

    code: str = Field(description="A code for programs, such as `prompt_truncated`.")
    param: str = Field(description="The field of the request.")
    message: str = Field(description="A message for people: what has no effect, and why.")


Warnings = tuple[VideoWarning, ...]


def warnings_of(request: ResolvedRequest | None) -> Warnings:
    """The warnings that follow from the request alone; None is a request that is not valid."""
    if request is None:
        return ()
    found: list[VideoWarning] = []
    if request.ignored_seconds is not None:
        found.append(
            VideoWarning(
                code=WarningCode.SECONDS_IGNORED,
                param="seconds",
                message=f"seconds is {request.ignored_seconds}, but num_frames is "
                f"{request.num_frames}, which is {request.seconds} s at {request.fps} fps; "
                "num_frames was used",
            )
        )
    if request.negative_prompt and request.guidance_scale <= 1:
        found.append(
            VideoWarning(
                code=WarningCode.NEGATIVE_PROMPT_IGNORED,
                param="negative_prompt",
                message=f"negative_prompt has no effect: guidance_scale is "
                f"{request.guidance_scale:g}, and 1 or less disables guidance",
            )
        )
    return tuple(found)


def truncated(param: str, tokens: int, used: int, used_text: str) -> VideoWarning:
    """The warning that only the first `used` of the tokens in `param` were used."""
    # Only the end of a long text is shown, and from the start of a word where it has several.
    end = used_text[-EXCERPT_CHARACTERS:]
    end = end.partition(" ")[2] or end if len(used_text) > EXCERPT_CHARACTERS else end
    return VideoWarning(
        code=WarningCode.PROMPT_TRUNCATED,
        param=param,
        message=f"{param} has {tokens} tokens; the first {used} were used, up to '… {end}'",
    )


def merged(earlier: Warnings, found: Warnings) -> Warnings:
    """`earlier`, and what was found since; each once."""
    return (*earlier, *(one for one in found if one not in earlier))
