"""Runs recipes with a tiny random pipeline in place of a downloaded one: `recipes_main.py FOLDER PROGRAM…`.

Writes `target.png`, which is what the pipeline makes of `SEED`, and prints what each program has printed, as JSON. Run
by the Python of `make recipes`.
"""

import contextlib
import io
import json
import sys
import warnings
from pathlib import Path
from typing import Any

PROMPT = "a red bridge in fog"
STEPS = 20
SEED = 4


def tiny_pipeline() -> Any:
    """Stable Diffusion of some ten thousand random weights, 32 x 32 pixels, made of configurations alone."""
    import torch
    from diffusers import AutoencoderKL, DDPMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    letters = "abcdefghijklmnopqrstuvwxyz"
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {word: number for number, word in enumerate(words)}
    torch.manual_seed(0)
    text = CLIPTextConfig(
        vocab_size=len(words),
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=32,
        bos_token_id=vocabulary["<|startoftext|>"],
        eos_token_id=vocabulary["<|endoftext|>"],
        pad_token_id=vocabulary["<|endoftext|>"],
    )
    return StableDiffusionPipeline(
        vae=AutoencoderKL(
            block_out_channels=(16, 32),
            down_block_types=("DownEncoderBlock2D", "DownEncoderBlock2D"),
            up_block_types=("UpDecoderBlock2D", "UpDecoderBlock2D"),
            norm_num_groups=8,
            latent_channels=4,
            sample_size=32,
        ),
        text_encoder=CLIPTextModel(text),
        tokenizer=CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=32),
        unet=UNet2DConditionModel(
            sample_size=16,
            block_out_channels=(16, 32),
            layers_per_block=1,
            norm_num_groups=8,
            attention_head_dim=8,
            cross_attention_dim=16,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        ),
        scheduler=DDPMScheduler(clip_sample=False, steps_offset=1),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def main(folder: Path, programs: list[str]) -> None:
    """Write the pipeline to the folder, and run the programs, each in a module of its own."""
    sys.path.insert(0, str(Path(__file__).parent.parent.parent))
    from loadtest.kit.torchvisions import import_torchvision

    import_torchvision()
    warnings.simplefilter("ignore")
    import torch

    torch.set_num_threads(1)
    pipe = tiny_pipeline()
    pipe.save_pretrained(folder)
    target = pipe(PROMPT, num_inference_steps=STEPS, generator=torch.Generator().manual_seed(SEED)).images[0]
    target.save("target.png")
    printed: list[str] = []
    for program in programs:
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            exec(compile(Path(program).read_text(), program, "exec"), {"__name__": "__main__"})  # noqa: S102 - our pages
        printed.append(said.getvalue())
    print(json.dumps(printed))  # noqa: T201 - to the test


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
