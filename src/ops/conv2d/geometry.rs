//! Every dimension of one convolution.

use std::fmt;

/// Every dimension of one convolution; what has two has them for rows and columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Geometry {
    /// Batch.
    pub n: usize,
    /// Input channels, of all groups.
    pub c: usize,
    /// Input height.
    pub h: usize,
    /// Input width.
    pub w: usize,
    /// Output channels, of all groups.
    pub k: usize,
    /// Filter height.
    pub r: usize,
    /// Filter width.
    pub s: usize,
    /// Stride.
    pub stride: [usize; 2],
    /// From one element of the filter to the next.
    pub dilation: [usize; 2],
    /// Padding: above and below, on the left and right.
    pub pad: [[usize; 2]; 2],
    /// Groups that channels and filters come in.
    pub groups: usize,
    /// Output height.
    pub p: usize,
    /// Output width.
    pub q: usize,
    /// Whether a bias is added.
    pub biased: bool,
}

impl Geometry {
    /// The convolution of one group, all of whose maps are those of that group.
    pub fn of_group(&self) -> Self {
        Self {
            c: self.c / self.groups,
            k: self.k / self.groups,
            groups: 1,
            ..*self
        }
    }

    /// Whether each channel has filters of its own, and there are several.
    pub fn is_depthwise(&self) -> bool {
        self.groups > 1 && self.groups == self.c
    }

    /// Elements of a filter's window: `R*S`.
    pub fn window(&self) -> usize {
        self.r * self.s
    }

    /// Terms of one output: `C/groups * R*S`.
    pub fn terms(&self) -> usize {
        self.c / self.groups * self.window()
    }

    /// Columns of the filter gradient's product: its terms and, with a bias, one whose input is 1.
    pub fn gradient_columns(&self) -> usize {
        self.terms() + usize::from(self.biased)
    }

    /// Pixels of one output map: `P*Q`.
    pub fn pixels(&self) -> usize {
        self.p * self.q
    }

    /// Multiplications and additions of one pass, in whichever direction.
    pub fn flops(&self) -> u64 {
        2 * (self.n * self.pixels() * self.k * self.terms()) as u64
    }
}

/// `2`, or `2x1` where rows and columns differ.
fn pair([down, across]: [usize; 2]) -> String {
    if down == across {
        down.to_string()
    } else {
        format!("{down}x{across}")
    }
}

/// As [`pair`]; `1+0x2+1` where the sides of an axis differ.
fn sides(pad: [[usize; 2]; 2]) -> String {
    if pad.iter().all(|[before, behind]| before == behind) {
        return pair(pad.map(|[before, _]| before));
    }
    let [down, across] = pad.map(|[before, behind]| format!("{before}+{behind}"));
    format!("{down}x{across}")
}

impl fmt::Display for Geometry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            n,
            c,
            h,
            w,
            k,
            r,
            s,
            ..
        } = self;
        write!(f, "{n}x{c}x{h}x{w} to {k}, {r}x{s}")?;
        if self.stride != [1; 2] {
            write!(f, " stride {}", pair(self.stride))?;
        }
        if self.dilation != [1; 2] {
            write!(f, " dilation {}", pair(self.dilation))?;
        }
        if self.pad != [[0; 2]; 2] {
            write!(f, " pad {}", sides(self.pad))?;
        }
        if self.groups > 1 {
            write!(f, " groups {}", self.groups)?;
        }
        if !self.biased {
            f.write_str(" no bias")?;
        }
        Ok(())
    }
}
