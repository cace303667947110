//! Directions: changes of the training data whose effect on samples is computed.

use std::fmt;
use std::sync::Arc;

use burn::tensor::Device;
use datasway_data::Dataset;
use datasway_diffusion::DiffusionError;
use datasway_diffusion::device::widest_float;

use crate::error::SensitivityError;
use crate::learner::{ChangedGroups, DataPoints, GroupMass};
use crate::measure::{Empirical, ImagePoints, Measure};

/// The sign of the mass η that a direction ν gets in `ρ_η ∝ ρ + ην`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// η > 0.
    Add,
    /// η < 0, with ν inside ρ. The sensitivity is the same; the sample moves by `−|η|·δ`.
    Remove,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Add => "add",
            Self::Remove => "remove",
        })
    }
}

/// Images named by a selection, such as `attr:Eyeglasses`, of the training set or from elsewhere.
#[derive(Debug, Clone)]
pub struct SelectedImages {
    selection: String,
    points: ImagePoints,
    members: Option<Vec<usize>>,
    measure: Empirical,
}

impl SelectedImages {
    /// Images as a model is trained on them: with their mirror images if `mirrored`. `members` are the indices of their points in
    /// the training set ([`ImagePoints::indices_of`]); none for images from elsewhere.
    ///
    /// # Errors
    /// If there are no images.
    pub fn new(
        selection: impl Into<String>,
        images: &Dataset,
        members: Option<Vec<usize>>,
        mirrored: bool,
        device: &Device,
    ) -> Result<Self, DiffusionError> {
        let points = ImagePoints::new(images, mirrored, device);
        let measure = Empirical::read(points.clone())?.with_precision(widest_float(device));
        Ok(Self {
            selection: selection.into(),
            points,
            members,
            measure,
        })
    }

    /// The images.
    pub fn images(&self) -> &Dataset {
        self.points.set()
    }

    /// True for images of the training set, false for images from elsewhere.
    pub fn is_in_training_set(&self) -> bool {
        self.members.is_some()
    }
}

/// The origin of a direction's measure.
#[derive(Clone)]
enum Source {
    Images {
        points: ImagePoints,
        /// Indices of the points in the training set; none for images from elsewhere.
        members: Option<Vec<usize>>,
    },
    Model,
    Measure,
}

/// One change of the training data: a measure ν and the sign of its mass, or the mass itself.
///
/// It is displayed as `add attr:Eyeglasses` or `remove attr:Blond_Hair`.
#[derive(Clone)]
pub struct Direction {
    selection: String,
    change: Change,
    mass: Option<f64>,
    source: Source,
    measure: Arc<dyn Measure>,
}

impl Direction {
    /// Adds images.
    pub fn add(images: SelectedImages) -> Self {
        Self::of_images(images, Change::Add)
    }

    /// Removes images of the training set.
    ///
    /// # Errors
    /// [`SensitivityError::NotTrainingImages`] for images from elsewhere.
    pub fn remove(images: SelectedImages) -> Result<Self, SensitivityError> {
        if !images.is_in_training_set() {
            return Err(SensitivityError::NotTrainingImages(images.selection));
        }
        Ok(Self::of_images(images, Change::Remove))
    }

    /// Adds the data of another model.
    pub fn add_model(name: impl Into<String>, data: impl Measure + 'static) -> Self {
        Self {
            selection: name.into(),
            change: Change::Add,
            mass: None,
            source: Source::Model,
            measure: Arc::new(data),
        }
    }

    /// Adds (or removes) any measure.
    pub fn of_measure(
        name: impl Into<String>,
        change: Change,
        measure: impl Measure + 'static,
    ) -> Self {
        Self {
            selection: name.into(),
            change,
            mass: None,
            source: Source::Measure,
            measure: Arc::new(measure),
        }
    }

    fn of_images(images: SelectedImages, change: Change) -> Self {
        Self {
            selection: images.selection,
            change,
            mass: None,
            source: Source::Images {
                points: images.points,
                members: images.members,
            },
            measure: Arc::new(images.measure),
        }
    }

    /// The selection, such as `attr:Eyeglasses`, or the name of the measure.
    pub fn selection(&self) -> &str {
        &self.selection
    }

    /// The sign of the mass.
    pub fn change(&self) -> Change {
        self.change
    }

    /// The images of ν; none where ν is the data of a model or another measure.
    pub fn images(&self) -> Option<&Dataset> {
        self.image_points().map(ImagePoints::set)
    }

    /// The points of ν, with mirror images if the model was trained on those; none where ν is the data of a model or
    /// another measure.
    pub(crate) fn image_points(&self) -> Option<&ImagePoints> {
        match &self.source {
            Source::Images { points, .. } => Some(points),
            Source::Model | Source::Measure => None,
        }
    }

    /// The images of ν, of which a model learns.
    ///
    /// # Errors
    /// If ν is no set of images.
    pub fn data_points(&self) -> Result<&dyn DataPoints, SensitivityError> {
        let points = self.image_points().map(|points| points as &dyn DataPoints);
        points.ok_or_else(|| SensitivityError::NotImages(self.selection.clone()))
    }

    /// The same change with a finite mass relative to that of the training data, above 0 for a removal too.
    ///
    /// The derivative in the mass does not depend on it. The [change of the weights](crate::learner) does.
    pub fn with_mass(self, mass: f64) -> Self {
        Self {
            mass: Some(mass),
            ..self
        }
    }

    /// The mass η, below 0 for a removal; none for a derivative.
    pub fn signed_mass(&self) -> Option<f64> {
        let sign = match self.change {
            Change::Add => 1.0,
            Change::Remove => -1.0,
        };
        self.mass.map(|mass| sign * mass)
    }

    /// The share of the images in a training set of `count` points: the mass of the whole group; none for what is not a part of the
    /// training set.
    pub fn share(&self, count: usize) -> Option<f64> {
        let members = self.members()?;
        Some(members.len() as f64 / count as f64)
    }

    fn members(&self) -> Option<&[usize]> {
        match &self.source {
            Source::Images { members, .. } => members.as_deref(),
            Source::Model | Source::Measure => None,
        }
    }

    /// ν with its mass, for a model that learns of it.
    ///
    /// # Errors
    /// If ν is no set of images, or has no mass.
    fn group_mass(&self) -> Result<GroupMass<'_>, SensitivityError> {
        let points = self.data_points()?;
        let mass = self
            .mass
            .ok_or_else(|| SensitivityError::MassOfSome(self.selection.clone()))?;
        Ok(match (self.change, self.members()) {
            (Change::Remove, Some(members)) => GroupMass::Removed { members, mass },
            (Change::Add | Change::Remove, _) => GroupMass::Added { points, mass },
        })
    }

    /// ν.
    pub fn measure(&self) -> &dyn Measure {
        self.measure.as_ref()
    }

    /// True if δ can be compared with the sensitivity to the whole training set. The data of another model are
    /// compared without the training images.
    pub(crate) fn has_zero_check(&self) -> bool {
        !matches!(self.source, Source::Model)
    }
}

/// The groups of images of some directions, of which a model learns: with their masses if the directions have them.
///
/// # Errors
/// If a direction is no set of images, or some have a mass and some have none.
pub fn changed_groups(directions: &[Direction]) -> Result<ChangedGroups<'_>, SensitivityError> {
    let directions = directions.iter();
    if directions.clone().any(|direction| direction.mass.is_some()) {
        let groups = directions.map(Direction::group_mass);
        return Ok(ChangedGroups::Finite(groups.collect::<Result<_, _>>()?));
    }
    let groups = directions.map(Direction::data_points);
    Ok(ChangedGroups::Derivative(groups.collect::<Result<_, _>>()?))
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.change, self.selection)
    }
}

impl fmt::Debug for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Direction").field(&self.to_string()).finish()
    }
}

#[cfg(test)]
mod tests {
    use datasway_data::{LoadOptions, Source};

    use super::*;

    /// The first five of ten faces, which are members of the training set.
    fn five() -> SelectedImages {
        let source = Source::parse("faces:10").expect("a source");
        let images = datasway_data::load(&source, &LoadOptions::default()).expect("faces");
        let (first, members) = (images.subset(&[0, 1, 2, 3, 4]), (0..5).collect());
        SelectedImages::new("five", &first, Some(members), false, &Device::flex()).expect("images")
    }

    #[test]
    fn all_directions_have_a_mass_or_none_has() {
        let add = || Direction::add(five());
        let remove = || Direction::remove(five()).expect("of the training set");
        assert_eq!(remove().share(10), Some(0.5));
        assert_eq!(add().signed_mass(), None);

        let derivative = [add(), remove()];
        let derivative = changed_groups(&derivative).expect("a derivative");
        assert_eq!((derivative.count(), derivative.masses()), (2, None));

        let finite = [add().with_mass(2.0), remove().with_mass(0.5)];
        let finite = changed_groups(&finite).expect("masses");
        assert_eq!(finite.masses(), Some(vec![2.0, -0.5]));

        let some = [add().with_mass(0.5), remove()];
        let refused = changed_groups(&some).err().expect("a refusal").to_string();
        assert!(refused.starts_with("five: has no mass"), "{refused}");
    }
}
