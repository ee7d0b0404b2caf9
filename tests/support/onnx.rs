//! Writes small ONNX networks, so that tests need no Python: just enough of `onnx.proto` (numbers of its fields as there).

/// One message of the protocol buffers' wire format.
#[derive(Debug, Clone, Default)]
struct Message(Vec<u8>);

impl Message {
    fn variable(mut self, mut value: u64) -> Self {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
        self
    }

    fn number(self, field: u64, value: i64) -> Self {
        self.variable(field << 3).variable(value as u64)
    }

    fn bytes(self, field: u64, bytes: &[u8]) -> Self {
        let mut with_head = self.variable(field << 3 | 2).variable(bytes.len() as u64);
        with_head.0.extend_from_slice(bytes);
        with_head
    }

    fn text(self, field: u64, text: &str) -> Self {
        self.bytes(field, text.as_bytes())
    }

    fn message(self, field: u64, inner: &Self) -> Self {
        self.bytes(field, &inner.0)
    }
}

const FLOAT: i64 = 1;
const INT64: i64 = 7;

/// A graph with one input, `input` of `[1, 3, height, width]`.
#[derive(Debug, Clone)]
pub struct Network {
    graph: Message,
}

impl Network {
    pub fn new(width: i64, height: i64) -> Self {
        Self { graph: Message::default().text(2, "test").message(11, &port("input", &[1, 3, height, width])) }
    }

    /// A node; it is named after its output.
    pub fn node(mut self, kind: &str, inputs: &[&str], output: &str, attributes: &[(&str, Attribute)]) -> Self {
        let mut node = inputs.iter().fold(Message::default(), |node, input| node.text(1, input));
        node = node.text(2, output).text(3, output).text(4, kind);
        for (name, attribute) in attributes {
            let message = Message::default().text(1, name);
            let message = match attribute {
                Attribute::Number(value) => message.number(3, *value).number(20, 2),
                Attribute::Numbers(values) => values.iter().fold(message, |m, v| m.number(8, *v)).number(20, 7),
            };
            node = node.message(5, &message);
        }
        self.graph = self.graph.message(1, &node);
        self
    }

    pub fn floats(self, name: &str, shape: &[i64], values: &[f32]) -> Self {
        assert_eq!(shape.iter().product::<i64>() as usize, values.len(), "{name}");
        let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(name, FLOAT, shape, &raw)
    }

    pub fn integers(self, name: &str, values: &[i64]) -> Self {
        let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(name, INT64, &[values.len() as i64], &raw)
    }

    fn constant(mut self, name: &str, kind: i64, shape: &[i64], raw: &[u8]) -> Self {
        let tensor = shape.iter().fold(Message::default(), |tensor, side| tensor.number(1, *side));
        self.graph = self.graph.message(5, &tensor.number(2, kind).text(8, name).bytes(9, raw));
        self
    }

    pub fn output(mut self, name: &str, shape: &[i64]) -> Self {
        self.graph = self.graph.message(12, &port(name, shape));
        self
    }

    /// The file: version 8 of the format, operators of version 13.
    pub fn file(&self) -> Vec<u8> {
        let operators = Message::default().text(1, "").number(2, 13);
        Message::default().number(1, 8).text(2, "umsicht-tests").message(7, &self.graph).message(8, &operators).0
    }
}

#[derive(Debug, Clone)]
pub enum Attribute {
    Number(i64),
    Numbers(Vec<i64>),
}

/// A tensor of floats with a name.
fn port(name: &str, shape: &[i64]) -> Message {
    let side = |side: &i64| Message::default().number(1, *side);
    let shape = shape.iter().fold(Message::default(), |all, length| all.message(1, &side(length)));
    let tensor = Message::default().number(1, FLOAT).message(2, &shape);
    Message::default().text(1, name).message(2, &Message::default().message(1, &tensor))
}
