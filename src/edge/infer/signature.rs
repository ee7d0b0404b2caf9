//! What a graph says of its own inputs and outputs, before it runs.

use super::InferError;
use super::model::ModelSpec;

/// One input of a graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Port {
    pub name: String,
    /// Whether it takes 32-bit floats.
    pub is_float: bool,
    /// `None` for a side of any length; no list where the graph does not say.
    pub sides: Option<Vec<Option<usize>>>,
}

impl Port {
    fn takes(&self, shape: &[usize]) -> bool {
        let fits = |sides: &Vec<Option<usize>>| {
            sides.len() == shape.len()
                && sides.iter().zip(shape).all(|(side, wanted)| side.is_none_or(|s| s == *wanted))
        };
        self.is_float && self.sides.as_ref().is_none_or(fits)
    }

    fn text(&self) -> String {
        let side = |side: &Option<usize>| side.map_or_else(|| "?".to_owned(), |side| side.to_string());
        let sides = self.sides.as_ref().map(|sides| sides.iter().map(side).collect::<Vec<_>>().join(", "));
        let kind = if self.is_float { "" } else { ", not of 32-bit floats" };
        format!("{:?} of [{}]{kind}", self.name, sides.unwrap_or_else(|| "any shape".into()))
    }
}

/// Refuses a graph that does not take exactly one picture of the manifest's size.
pub(super) fn check_inputs(ports: &[Port], spec: &ModelSpec) -> Result<(), InferError> {
    let wanted = spec.input_shape();
    match ports {
        [port] if port.takes(&wanted) => Ok(()),
        _ => {
            let found = match ports.len() {
                0 => "no input".into(),
                1 => ports[0].text(),
                n => format!(
                    "{n} inputs ({}); export it so that the picture is the only one",
                    ports.iter().map(Port::text).collect::<Vec<_>>().join("; ")
                ),
            };
            Err(InferError::Input { wanted, found })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(sides: &[Option<usize>]) -> Port {
        Port { name: "images".into(), is_float: true, sides: Some(sides.to_vec()) }
    }

    #[test]
    fn open_sides_take_anything_and_fixed_ones_their_length_only() {
        let shape = [1, 3, 320, 512];
        assert!(port(&[Some(1), Some(3), Some(320), Some(512)]).takes(&shape));
        assert!(port(&[None, Some(3), None, None]).takes(&shape));
        assert!(Port { sides: None, ..port(&[]) }.takes(&shape));
        assert!(!port(&[Some(1), Some(3), Some(512), Some(320)]).takes(&shape));
        assert!(!port(&[Some(3), Some(320), Some(512)]).takes(&shape));
        assert!(!Port { is_float: false, ..port(&[None, None, None, None]) }.takes(&shape));
        assert_eq!(port(&[None, Some(3)]).text(), "\"images\" of [?, 3]");
    }
}
