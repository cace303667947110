//! The attributes of procedural faces.

/// The attributes, most by CelebA's names.
pub const ATTRIBUTES: [&str; 11] = [
    "Bangs",
    "Blond_Hair",
    "Eyeglasses",
    "Long_Hair",
    "Mouth_Slightly_Open",
    "No_Beard",
    "Pale_Skin",
    "Smiling",
    "Wearing_Earrings",
    "Wearing_Hat",
    "Wearing_Lipstick",
];
