"""In unsloth's place in a rehearsal: the arguments of unsloth 2026.10.7's two functions, answered by peft."""

from __future__ import annotations

from typing import Any


class FastLanguageModel:
    """`from_pretrained` and `get_peft_model` name the arguments that unsloth's do; what it ignores is left out."""

    @staticmethod
    def from_pretrained(
        model_name: str,
        max_seq_length: int = 2048,
        dtype: Any = None,
        load_in_4bit: bool = True,
        use_gradient_checkpointing: Any = "unsloth",
        fast_inference: bool = False,
        offload_embedding: bool = False,
        use_exact_model_name: bool = False,
        **kwargs: Any,
    ) -> tuple[Any, None]:
        from transformers import AutoModelForCausalLM

        return AutoModelForCausalLM.from_pretrained(model_name, dtype=dtype, **kwargs), None

    @staticmethod
    def get_peft_model(
        model: Any,
        r: int = 16,
        target_modules: Any = (),
        lora_alpha: int = 16,
        lora_dropout: float = 0.0,
        bias: str = "none",
        use_gradient_checkpointing: Any = "unsloth",
        use_rslora: bool = False,
    ) -> Any:
        import peft
        import torch

        names = {"r": r, "target_modules": list(target_modules), "lora_alpha": lora_alpha, "use_rslora": use_rslora}
        lora = peft.LoraConfig(task_type="CAUSAL_LM", lora_dropout=lora_dropout, bias=bias, **names)
        peft_model = peft.get_peft_model(model, lora, autocast_adapter_dtype=False)
        forward = peft_model.base_model.model.forward

        def hidden_in_place_of_logits(*args: Any, packed_seq_lengths: Any = None, **given: Any) -> Any:
            if packed_seq_lengths is not None:  # sequences end to end, each of which sees itself alone
                owner = torch.arange(len(packed_seq_lengths)).repeat_interleave(packed_seq_lengths)
                given["attention_mask"] = (owner[:, None] == owner).tril()[None, None]
            output = forward(*args, **given | {"output_hidden_states": True})
            output.logits = output.hidden_states[-1]
            return output

        peft_model.base_model.model.forward = hidden_in_place_of_logits
        return peft_model
