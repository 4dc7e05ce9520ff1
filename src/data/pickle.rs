//! Reader for the pickles of CIFAR's python version, and for nothing else that a pickle can hold.
//!
//! A pickle is a program for a small stack machine. Those of CIFAR (protocol 2, written by Python 2)
//! build a dictionary of strings, lists of integers and strings, and one numpy array of bytes. Just
//! the operations that this takes are known; any other is an error. Nothing is run: the three names
//! that stand for Python code here (numpy's array, its type, and what makes them) are matched
//! as text, any other is an error.
//!
//! Strings are not copied, and a pickle has [`MOST_OPERATIONS`] at most, so that besides the file's bytes
//! no more than some 50 MB are taken, whatever it says.
//!
//! Source: Python's `pickletools.py`; numpy's `ndarray.__reduce__`.

use std::collections::HashMap;
use std::ops::Range;

use super::error::Fault;

/// The most operations of a pickle. The largest of CIFAR-100 has about 250,000.
const MOST_OPERATIONS: usize = 1 << 20;
/// The most lists, tuples, dictionaries and objects: they bound how deep one lies in another.
const MOST_CONTAINERS: usize = 64;

/// The pictures and labels of a pickle.
#[derive(Debug)]
pub(super) struct Pickled {
    /// A label for each picture.
    pub(super) labels: Vec<u16>,
    /// Where in the file the pictures lie.
    pub(super) data: Range<usize>,
    /// Whether they lie column after column of the array `[labels.len(), picture]`.
    pub(super) by_column: bool,
}

/// Reads a dictionary that holds `data`, an array of bytes `[M, picture]`, and `labels`, `M` integers.
pub(super) fn read(bytes: &[u8], labels: &str, picture: usize) -> Result<Pickled, Fault> {
    let mut machine = Machine {
        bytes,
        at: 0,
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        containers: 0,
    };
    let Value::Dict(entries) = machine.run()? else {
        return Err(Fault::new(
            "another value than a dictionary",
            "a dictionary",
        ));
    };
    let lookup = |key: &str| {
        let is = |(name, _): &&(Range<usize>, Value)| bytes[name.clone()] == *key.as_bytes();
        entries.iter().find(is).map(|(_, value)| value)
    };
    let Some(Value::List(items)) = lookup(labels) else {
        return Err(Fault::new(format!("no list `{labels}`"), "one"));
    };
    let mut numbers = Vec::with_capacity(items.len());
    for item in items {
        match item {
            Value::Int(n) if u16::try_from(*n).is_ok() => numbers.push(*n as u16),
            _ => {
                return Err(Fault::new(
                    format!("a wrong label in `{labels}`"),
                    "integers from 0",
                ));
            }
        }
    }
    let Some(Value::Array(Some(array))) = lookup("data") else {
        return Err(Fault::new("no array `data`", "one"));
    };
    let want = [numbers.len(), picture];
    if array.shape != want || array.data.len() != want[0] * want[1] {
        let got = format!(
            "`data` of shape {:?} in {} bytes",
            array.shape,
            array.data.len()
        );
        return Err(Fault::new(got, format!("{want:?}, a byte each")));
    }
    Ok(Pickled {
        labels: numbers,
        data: array.data.clone(),
        by_column: array.by_column,
    })
}

/// An array of bytes of two dimensions.
#[derive(Clone, Debug)]
struct Array {
    shape: [usize; 2],
    by_column: bool,
    data: Range<usize>,
}

/// A name that stands for Python code.
#[derive(Clone, Copy, Debug)]
enum Global {
    Reconstruct,
    Ndarray,
    Dtype,
}

#[derive(Debug)]
enum Value {
    None,
    Bool(bool),
    Int(i32),
    Text(Range<usize>),
    Global(Global),
    /// The type of bytes.
    ByteType,
    List(Vec<Value>),
    Tuple(Vec<Value>),
    Dict(Vec<(Range<usize>, Value)>),
    /// An array, with what it holds once that was set.
    Array(Option<Array>),
}

impl Value {
    /// A copy, of what has no parts.
    fn copy(&self) -> Option<Self> {
        Some(match self {
            Self::None => Self::None,
            Self::Bool(value) => Self::Bool(*value),
            Self::Int(value) => Self::Int(*value),
            Self::Text(range) => Self::Text(range.clone()),
            Self::Global(global) => Self::Global(*global),
            Self::ByteType => Self::ByteType,
            _ => return None,
        })
    }
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    stack: Vec<Value>,
    marks: Vec<usize>,
    /// What was put aside; `None` for what is never fetched.
    memo: HashMap<u32, Option<Value>>,
    containers: usize,
}

impl Machine<'_> {
    fn run(&mut self) -> Result<Value, Fault> {
        for _ in 0..MOST_OPERATIONS {
            let at = self.at;
            let operation = self.take::<1>()?[0];
            let value = match operation {
                0x80 => match self.take::<1>()?[0] {
                    2 => continue,
                    got => return Err(Fault::new(format!("protocol {got}"), "protocol 2")),
                },
                b'.' => return self.pop(),
                b'N' => Value::None,
                0x88 => Value::Bool(true),
                0x89 => Value::Bool(false),
                b'K' => Value::Int(self.take::<1>()?[0].into()),
                b'M' => Value::Int(u16::from_le_bytes(self.take()?).into()),
                b'J' => Value::Int(i32::from_le_bytes(self.take()?)),
                b'U' => {
                    let len = self.take::<1>()?[0];
                    self.text(len.into())?
                }
                b'T' => {
                    let len = self.long()?;
                    self.text(len)?
                }
                b'c' => self.global()?,
                b'}' => self.container(Value::Dict(Vec::new()))?,
                b']' => self.container(Value::List(Vec::new()))?,
                b')' => self.container(Value::Tuple(Vec::new()))?,
                0x85..=0x87 => {
                    let count = usize::from(operation - 0x84);
                    let first = self.stack.len().checked_sub(count).ok_or_else(underflow)?;
                    let parts = self.stack.split_off(first);
                    self.container(Value::Tuple(parts))?
                }
                b't' => {
                    let parts = self.since_mark()?;
                    self.container(Value::Tuple(parts))?
                }
                b'(' => {
                    self.marks.push(self.stack.len());
                    continue;
                }
                b'q' | b'r' => {
                    let key = self.key(operation == b'r')?;
                    let value = self.stack.last().ok_or_else(underflow)?.copy();
                    self.memo.insert(key, value);
                    continue;
                }
                b'h' | b'j' => {
                    let key = self.key(operation == b'j')?;
                    let value = self.memo.get(&key).and_then(Option::as_ref);
                    value.and_then(Value::copy).ok_or_else(|| {
                        let got = format!("a fetch of value {key} at byte {at}");
                        Fault::new(got, "one that was put aside and has no parts")
                    })?
                }
                b'a' => {
                    let item = self.pop()?;
                    self.append(vec![item])?;
                    continue;
                }
                b'e' => {
                    let items = self.since_mark()?;
                    self.append(items)?;
                    continue;
                }
                b's' => {
                    let first = self.stack.len().checked_sub(2).ok_or_else(underflow)?;
                    let pair = self.stack.split_off(first);
                    self.set(pair)?;
                    continue;
                }
                b'u' => {
                    let pairs = self.since_mark()?;
                    self.set(pairs)?;
                    continue;
                }
                b'R' => {
                    let (arguments, callable) = (self.pop()?, self.pop()?);
                    let value = reduce(self.bytes, &callable, &arguments)?;
                    self.container(value)?
                }
                b'b' => {
                    let (state, object) = (self.pop()?, self.pop()?);
                    build(object, &state)?
                }
                _ => {
                    return Err(Fault::new(
                        format!("operation {operation:#04x} at byte {at}"),
                        "only those of CIFAR's python version",
                    ));
                }
            };
            self.stack.push(value);
        }
        Err(Fault::new(
            format!("over {MOST_OPERATIONS} operations"),
            "fewer",
        ))
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let bytes = self.bytes[self.at..].first_chunk::<N>().ok_or_else(|| {
            let got = format!("its end within an operation, at byte {}", self.at);
            Fault::new(got, "a whole file")
        })?;
        self.at += N;
        Ok(*bytes)
    }

    fn long(&mut self) -> Result<usize, Fault> {
        Ok(u32::from_le_bytes(self.take()?) as usize)
    }

    fn key(&mut self, long: bool) -> Result<u32, Fault> {
        Ok(if long {
            u32::from_le_bytes(self.take()?)
        } else {
            self.take::<1>()?[0].into()
        })
    }

    fn text(&mut self, len: usize) -> Result<Value, Fault> {
        let left = self.bytes.len() - self.at;
        if len > left {
            let got = format!(
                "a string of {len} bytes at byte {}, {left} before its end",
                self.at
            );
            return Err(Fault::new(got, "a whole file"));
        }
        self.at += len;
        Ok(Value::Text(self.at - len..self.at))
    }

    /// Two lines: a module and a name in it.
    fn global(&mut self) -> Result<Value, Fault> {
        let rest = &self.bytes[self.at..];
        for (lines, global) in [
            (
                &b"numpy.core.multiarray\n_reconstruct\n"[..],
                Global::Reconstruct,
            ),
            (&b"numpy\nndarray\n"[..], Global::Ndarray),
            (&b"numpy\ndtype\n"[..], Global::Dtype),
        ] {
            if rest.starts_with(lines) {
                self.at += lines.len();
                return Ok(Value::Global(global));
            }
        }
        let lines = rest.splitn(3, |&byte| byte == b'\n').take(2);
        let name = lines.map(|line| String::from_utf8_lossy(&line[..line.len().min(64)]));
        let name = name.collect::<Vec<_>>().join(".");
        Err(Fault::new(
            format!("Python's {name:?}"),
            "numpy's arrays only",
        ))
    }

    fn container(&mut self, value: Value) -> Result<Value, Fault> {
        self.containers += 1;
        if self.containers > MOST_CONTAINERS {
            let got = format!("over {MOST_CONTAINERS} lists and tuples");
            return Err(Fault::new(got, "fewer"));
        }
        Ok(value)
    }

    fn pop(&mut self) -> Result<Value, Fault> {
        self.stack.pop().ok_or_else(underflow)
    }

    fn since_mark(&mut self) -> Result<Vec<Value>, Fault> {
        let mark = self.marks.pop().ok_or_else(underflow)?;
        if mark > self.stack.len() {
            return Err(underflow());
        }
        Ok(self.stack.split_off(mark))
    }

    fn append(&mut self, items: Vec<Value>) -> Result<(), Fault> {
        match self.stack.last_mut() {
            Some(Value::List(list)) => list.extend(items),
            _ => return Err(Fault::new("an append to what is no list", "a list")),
        }
        Ok(())
    }

    fn set(&mut self, pairs: Vec<Value>) -> Result<(), Fault> {
        let Some(Value::Dict(dict)) = self.stack.last_mut() else {
            return Err(Fault::new("an entry into what is no dictionary", "one"));
        };
        let mut pairs = pairs.into_iter();
        while let Some(key) = pairs.next() {
            let (Value::Text(key), Some(value)) = (key, pairs.next()) else {
                return Err(Fault::new(
                    "a dictionary without strings as keys",
                    "strings",
                ));
            };
            dict.push((key, value));
        }
        Ok(())
    }
}

fn underflow() -> Fault {
    Fault::new("an operation that lacks operands", "a whole file")
}

/// What numpy makes of these arguments.
fn reduce(bytes: &[u8], callable: &Value, arguments: &Value) -> Result<Value, Fault> {
    let Value::Tuple(arguments) = arguments else {
        return Err(Fault::new("a call without arguments", "some"));
    };
    match (callable, arguments.as_slice()) {
        (Value::Global(Global::Reconstruct), [Value::Global(Global::Ndarray), ..]) => {
            Ok(Value::Array(None))
        }
        (Value::Global(Global::Dtype), [Value::Text(name), ..]) => match &bytes[name.clone()] {
            b"u1" => Ok(Value::ByteType),
            other => {
                let other = String::from_utf8_lossy(&other[..other.len().min(64)]);
                Err(Fault::new(
                    format!("an array of {other:?}"),
                    "bytes, \"u1\"",
                ))
            }
        },
        _ => Err(Fault::new("a call of another kind", "numpy's arrays only")),
    }
}

/// Sets what an object holds.
fn build(object: Value, state: &Value) -> Result<Value, Fault> {
    match (object, state) {
        // Byte order and alignment: bytes have neither.
        (Value::ByteType, Value::Tuple(_)) => Ok(Value::ByteType),
        (Value::Array(None), Value::Tuple(state)) => {
            if let [
                Value::Int(1),
                Value::Tuple(shape),
                Value::ByteType,
                order,
                Value::Text(data),
            ] = state.as_slice()
                && let [Value::Int(rows), Value::Int(columns)] = shape.as_slice()
                && let (Ok(rows), Ok(columns)) = (usize::try_from(*rows), usize::try_from(*columns))
                && let Value::Bool(_) | Value::Int(_) = order
            {
                return Ok(Value::Array(Some(Array {
                    shape: [rows, columns],
                    by_column: !matches!(order, Value::Bool(false) | Value::Int(0)),
                    data: data.clone(),
                })));
            }
            Err(Fault::new(
                "an array of another form",
                "two dimensions of bytes",
            ))
        }
        _ => Err(Fault::new("a state for what is no array", "arrays only")),
    }
}
