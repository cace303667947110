//! The names of tensors in files of the original implementation.

/// True if these are names of the original implementation.
pub const ORIGINAL: &str = "x_embedder.proj.weight";

/// The name in diffusers of a tensor of the original implementation. `attn.qkv`, the stack of queries, keys and values, has none
/// and keeps its own.
pub fn from_original(name: &str) -> String {
    let replaced = [
        ("x_embedder.proj", "pos_embed.proj"),
        (
            "t_embedder.mlp.0",
            "transformer_blocks.0.norm1.emb.timestep_embedder.linear_1",
        ),
        (
            "t_embedder.mlp.2",
            "transformer_blocks.0.norm1.emb.timestep_embedder.linear_2",
        ),
        (
            "y_embedder.embedding_table",
            "transformer_blocks.0.norm1.emb.class_embedder.embedding_table",
        ),
        ("final_layer.adaLN_modulation.1", "proj_out_1"),
        ("final_layer.linear", "proj_out_2"),
    ];
    for (original, ours) in replaced {
        if let Some(end) = name.strip_prefix(original) {
            return format!("{ours}{end}");
        }
    }
    let Some(name) = name.strip_prefix("blocks.") else {
        return name.to_owned();
    };
    format!("transformer_blocks.{name}")
        .replace(".adaLN_modulation.1.", ".norm1.linear.")
        .replace(".attn.qkv.", ".attn1.qkv.")
        .replace(".attn.proj.", ".attn1.to_out.0.")
        .replace(".mlp.fc1.", ".ff.net.0.proj.")
        .replace(".mlp.fc2.", ".ff.net.2.")
}
