"""The families of causal language models that transformers knows, as configurations of a few thousand weights.

`config_of(family)` takes the family's own defaults and shrinks what nearly all of them name alike (COMMON); what a family
needs beside that is in FAMILIES: everything that its graph can show within two layers (windows shorter than the text, more
than one rotary table, ...).
"""
import inspect

import transformers
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

# Every name that some family has for a size, with the same few values.
COMMON = dict(
    hidden_size=64, n_embd=64, d_model=64, n_inner=96, intermediate_size=96, ffn_dim=96, dff=96, ffn_hidden_size=96,
    num_hidden_layers=2, n_layer=2, n_layers=2, num_layers=2, num_attention_heads=4, n_head=4, n_heads=4, attention_heads=4,
    num_heads=4, num_key_value_heads=2, head_dim=16, vocab_size=320, max_position_embeddings=128, n_positions=128, n_ctx=128,
    max_seq_len=128, bos_token_id=1, eos_token_id=2, pad_token_id=0, dropout=0.0, attention_dropout=0.0)

MOE = dict(num_experts=4, num_local_experts=4, n_routed_experts=4, num_experts_per_tok=2, moe_intermediate_size=48,
           shared_expert_intermediate_size=48, first_k_dense_replace=1, n_group=2, topk_group=1)
MLA = dict(q_lora_rank=24, kv_lora_rank=32, qk_rope_head_dim=8, qk_nope_head_dim=16, v_head_dim=12, num_key_value_heads=4,
           head_dim=8)
MAMBA2 = dict(mamba_d_state=16, mamba_n_heads=8, mamba_d_head=16, mamba_n_groups=1, mamba_d_conv=4, mamba_expand=2,
              mamba_chunk_size=8)
DELTA = dict(linear_key_head_dim=16, linear_value_head_dim=16, linear_num_key_heads=2, linear_num_value_heads=4,
             linear_conv_kernel_dim=4)
WINDOWS = dict(sliding_window=8, layer_types=["sliding_attention", "full_attention"])

# Families by what they are made of; {} where the common sizes do.
FAMILIES = {
    # One kind of block, rotary
    "llama": {}, "mistral": dict(sliding_window=8), "qwen2": {}, "qwen3": {}, "gemma": {},
    "gemma2": dict(sliding_window=8, query_pre_attn_scalar=16), "gemma3_text": dict(WINDOWS, query_pre_attn_scalar=16),
    "phi": {}, "phi3": dict(num_key_value_heads=4), "starcoder2": {}, "stablelm": {}, "granite": dict(embedding_multiplier=12.0, logits_scaling=8.0, residual_multiplier=0.22, attention_multiplier=0.1),
    "cohere": dict(logit_scale=0.5), "cohere2": dict(WINDOWS, logit_scale=0.5), "olmo": dict(clip_qkv=2.0), "olmo2": {}, "olmo3": WINDOWS,
    "glm": {}, "glm4": {}, "nemotron": {}, "persimmon": {}, "exaone4": WINDOWS, "smollm3": dict(no_rope_layers=[1, 0]),
    "helium": {}, "ernie4_5": {}, "hunyuan_v1_dense": {}, "seed_oss": {}, "arcee": {}, "apertus": {}, "diffllama": {},
    "doge": {}, "bitnet": {}, "minicpm3": dict(MLA, scale_emb=2.0, scale_depth=1.4, dim_model_base=32), "ministral": WINDOWS, "vaultgemma": dict(WINDOWS, query_pre_attn_scalar=16), "nanochat": {}, "cwm": WINDOWS,
    "internlm3": {}, "jais2": {}, "hyperclovax": {}, "modernbert-decoder": dict(WINDOWS, local_attention=16), "youtu": MLA,
    "gptj": dict(rotary_dim=8), "codegen": dict(rotary_dim=8), "gpt_neox": dict(rotary_pct=0.5), "gpt_neox_japanese": {},
    "falcon": dict(hidden_size=64, num_kv_heads=2, new_decoder_architecture=True), "gemma3n_text": dict(WINDOWS, hidden_size_per_layer_input=16, vocab_size_per_layer_input=320, num_kv_shared_layers=0, laurel_rank=8, altup_num_inputs=2, activation_sparsity_pattern=[0.5, 0.0]),
    "gemma4_text": dict(WINDOWS, hidden_size_per_layer_input=16, vocab_size_per_layer_input=320, num_kv_shared_layers=0, global_head_dim=16), "roformer": dict(is_decoder=True, embedding_size=64),
    # Learned or computed positions, biases
    "gpt2": {}, "gpt_bigcode": {}, "gpt_neo": dict(attention_types=[[["global", "local"], 1]], window_size=8), "opt": dict(word_embed_proj_dim=64), "xglm": {},
    "biogpt": {}, "ctrl": {}, "openai-gpt": {}, "bloom": {}, "mpt": {}, "bert": dict(is_decoder=True), "roberta": dict(is_decoder=True), "electra": dict(is_decoder=True), "bart": dict(is_decoder=True, decoder_layers=2, decoder_attention_heads=4, decoder_ffn_dim=96),
    # Mixtures of experts
    "mixtral": MOE, "qwen2_moe": MOE, "qwen3_moe": MOE, "olmoe": MOE, "phimoe": MOE, "granitemoe": MOE, "granitemoeshared": dict(MOE, shared_intermediate_size=48), "gpt_oss": dict(MOE, **WINDOWS), "glm4_moe": MOE, "dots1": MOE, "ernie4_5_moe": dict(MOE, moe_num_experts=4, moe_k=2, moe_layer_start_index=1), "hunyuan_v1_moe": dict(num_experts=4, moe_topk=2), "deepseek_v2": dict(MLA, **MOE), "deepseek_v3": dict(MLA, **MOE), "minimax_m2": MOE, "flex_olmo": MOE, "llama4_text": dict(MOE, intermediate_size_mlp=96, moe_layers=[1], attention_chunk_size=8, layer_types=["chunked_attention", "full_attention"]), "jetmoe": MOE, "dbrx": {},
    # Recurrences
    "mamba": dict(state_size=16, use_mambapy=False), "falcon_mamba": dict(state_size=16, use_mambapy=False), "mamba2": dict(state_size=16, num_heads=8, head_dim=16, n_groups=1, chunk_size=8, expand=2),
    "rwkv": dict(attention_hidden_size=64), "recurrent_gemma": dict(lru_width=64, attention_window_size=8, num_hidden_layers=3, num_attention_heads=4, block_types=["recurrent", "recurrent", "attention"]), "qwen3_next": dict(MOE, **DELTA, layer_types=["linear_attention", "full_attention"]),
    "qwen3_5_text": dict(DELTA, layer_types=["linear_attention", "full_attention"]), "falcon_h1": dict(MAMBA2, mamba_d_ssm=128), "bamba": dict(MAMBA2, attn_layer_indices=[1]), "jamba": dict(MOE, mamba_d_state=16, mamba_dt_rank=4, use_mamba_kernels=False, attn_layer_period=2, attn_layer_offset=1, expert_layer_period=2, expert_layer_offset=1),
    "zamba2": dict(mamba_d_state=16, n_mamba_heads=8, mamba_ngroups=1, chunk_size=8, num_mem_blocks=1, use_mem_rope=True, layers_block_type=["mamba", "hybrid"], hybrid_layer_ids=[1], adapter_rank=8, mamba_headdim=16),
    "granitemoehybrid": dict(MAMBA2, num_local_experts=0, shared_intermediate_size=48, layer_types=["mamba", "attention"]), "lfm2": dict(layer_types=["conv", "full_attention"], block_multiple_of=16), "minimax": dict(MOE, block_size=8, layer_types=["linear_attention", "full_attention"]), "olmo_hybrid": dict(DELTA, layer_types=["linear_attention", "full_attention"]),
    "kimi_linear": dict(MLA, **MOE), "nemotron_h": dict(mamba_num_heads=8, mamba_head_dim=16, n_groups=1, ssm_state_size=16, chunk_size=8, hybrid_override_pattern="M*-"), "xlstm": {},
}


def config_of(family):
    """A tiny configuration of a family of transformers, with what FAMILIES says."""
    cls = CONFIG_MAPPING[family]
    own = FAMILIES.get(family, {})
    known = set(inspect.signature(cls.__init__).parameters) | set(getattr(cls, "__dataclass_fields__", {})) | set(getattr(cls, "attribute_map", {}))
    for base in cls.__mro__:
        known |= set(getattr(base, "__annotations__", {}))
    args = {k: v for k, v in {**COMMON, **own}.items() if k in known or k in own}
    mapped = getattr(cls, "attribute_map", {})
    args = {k: v for k, v in args.items() if k in own or k not in mapped or mapped[k] not in args}
    config = cls(**args)
    config._attn_implementation = "eager"
    return config
