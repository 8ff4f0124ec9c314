"""Hugging Face transformers' beam search over a decoder of ours, wrapped as its step."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor

from xray_report.models.decoders.protocol import DecoderState, StepModel, select_rows


class RunningState:
    """What generate passes along as its cache; reordered like one, memory not copied per beam."""

    is_compileable = False
    is_linear = (True,)  # as of a recurrent model: nothing of it is indexed by position

    def __init__(self, state: DecoderState) -> None:
        self.state = state

    def reorder_cache(self, rows: Tensor) -> None:
        """Select the hypotheses that go on."""
        self.state = select_rows(self.state, rows.long())

    def get_seq_length(self) -> int:
        """Words already in the cache: none that generate would have to skip."""
        return 0


def generate(
    model: StepModel, features: Tensor, mask: Tensor, width: int, length: int
) -> tuple[Tensor, Tensor]:
    """Best sequences [B, length] of transformers' beam search, without BOS, and their scores."""
    from transformers import GenerationConfig

    state, special = model.initial_state(features, mask), model.special
    rows = torch.arange(len(features)).repeat_interleave(width)
    running = RunningState(select_rows(state, rows))
    found = _wrapper()(model, running).generate(
        torch.full((len(features), 1), special.bos),
        **{_name_of_cache(): running},
        generation_config=GenerationConfig(
            num_beams=width,
            max_new_tokens=length,
            do_sample=False,
            # The faster of its rules: stop a study once `width` of its hypotheses have ended.
            early_stopping=True,
            length_penalty=1.0,
            suppress_tokens=list(special.never_generated),
            pad_token_id=special.pad,
            bos_token_id=special.bos,
            eos_token_id=special.eos,
            output_scores=True,
            return_dict_in_generate=True,
        ),
    )
    return found.sequences[:, 1:], found.sequences_scores


def _name_of_cache() -> str:
    """What generate calls its cache: `past_key_values` up to transformers 5.23, then `cache`."""
    from transformers import GenerationMixin

    known = inspect.signature(GenerationMixin.prepare_inputs_for_generation).parameters
    return "cache" if "cache" in known else "past_key_values"


def _wrapper() -> Any:
    """Class of the wrapped step; made here so that transformers is imported only when needed."""
    from transformers import GenerationMixin, PretrainedConfig, PreTrainedModel
    from transformers.modeling_outputs import CausalLMOutputWithPast

    class WrappedStep(PreTrainedModel, GenerationMixin):
        config_class = PretrainedConfig
        main_input_name = "input_ids"
        _is_stateful = True

        def __init__(self, model: StepModel, running: RunningState) -> None:
            super().__init__(PretrainedConfig(is_decoder=True))
            self.step_model, self.running = [model], running

        @property
        def device(self) -> torch.device:
            return torch.device("cpu")

        def prepare_inputs_for_generation(
            self, input_ids: Tensor, cache: Any = None, past_key_values: Any = None, **_: Any
        ) -> dict[str, Any]:
            return {"input_ids": input_ids[:, -1:]}

        def forward(self, input_ids: Tensor, **_: Any) -> CausalLMOutputWithPast:
            (model,) = self.step_model
            log_probs, self.running.state = model.step(input_ids[:, -1], self.running.state)
            # transformers 4 reorders the cache that comes back, not the one that it was given.
            return CausalLMOutputWithPast(
                logits=log_probs.unsqueeze(1),
                past_key_values=self.running,  # type: ignore[arg-type]
            )

    return WrappedStep
