//! Groups of training images that share an attribute or a class.

use datasway_data::Dataset;

/// Training images that share a label.
pub struct Group {
    /// The selection, `attr:NAME` or `class:NAME`.
    pub name: String,
    /// Indices of the images.
    pub images: Vec<usize>,
}

/// The groups of all attributes and classes that at least one image has.
pub fn groups(data: &Dataset) -> Vec<Group> {
    let mut groups = Vec::new();
    if let Some(attributes) = &data.attributes {
        for (a, name) in attributes.names.iter().enumerate() {
            let has = |i: &usize| attributes.values[*i][a];
            groups.push(Group {
                name: format!("attr:{name}"),
                images: (0..data.len()).filter(has).collect(),
            });
        }
    }
    if let Some(classes) = &data.classes {
        for (c, name) in classes.names.iter().enumerate() {
            let has = |i: &usize| classes.labels[*i] == c;
            groups.push(Group {
                name: format!("class:{name}"),
                images: (0..data.len()).filter(has).collect(),
            });
        }
    }
    groups.retain(|group| !group.images.is_empty());
    groups
}

impl Group {
    /// `df/dη` for mass η added on the whole group: the mean influence of its images. `row` has the influence of every
    /// training image.
    pub fn influence(&self, row: &[f32]) -> f64 {
        let sum: f64 = self.images.iter().map(|&j| f64::from(row[j])).sum();
        sum / self.images.len() as f64
    }
}
