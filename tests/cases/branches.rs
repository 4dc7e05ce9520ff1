//! Networks that branch and join, for images `[N,3,H,W]` of at least 8x8: five classes each.

use nin_wgpu::graph::{GraphBuilder, GraphError, ValueId};
use nin_wgpu::ops::{Conv2d, LocalResponseNorm, Pool2d};

type Built = Result<ValueId, GraphError>;

/// A network and what it holds.
pub type Network = (&'static str, fn(&mut GraphBuilder, ValueId) -> Built);

pub const NETWORKS: &[Network] = &[
    ("a residual block", residual),
    ("a block whose skip is the input", skips_the_input),
    ("three branches side by side", side_by_side),
    ("a value read three times", read_three_times),
    ("a value added to itself", added_to_itself),
    ("a diamond of a pool and a convolution", diamond),
    ("a ReLU read by two convolutions", relu_read_twice),
    (
        "a convolution read before and behind its ReLU",
        read_before_its_relu,
    ),
    ("dropout in one branch", dropout_in_one_branch),
    ("logits that are a sum of two heads", two_heads),
    ("a dense layer beside a pooled one", dense),
    (
        "one value twice in a concatenation",
        twice_in_a_concatenation,
    ),
    ("normalised branches that are added", normalised),
];

fn conv(net: &mut GraphBuilder, name: &str, x: ValueId, k: usize, filter: usize) -> Built {
    net.conv2d(name, x, k, Conv2d::new(filter, 1, filter / 2)?)
}

fn head(net: &mut GraphBuilder, x: ValueId) -> Built {
    let x = conv(net, "head", x, 5, 1)?;
    net.global_avg_pool(x)
}

fn stem(net: &mut GraphBuilder, x: ValueId) -> Built {
    let x = conv(net, "stem", x, 4, 3)?;
    net.relu(x)
}

fn residual(net: &mut GraphBuilder, x: ValueId) -> Built {
    let x = stem(net, x)?;
    let y = conv(net, "block.1", x, 4, 3)?;
    let y = net.relu(y)?;
    let y = conv(net, "block.2", y, 4, 3)?;
    let y = net.add(y, x)?;
    let y = net.relu(y)?;
    head(net, y)
}

fn skips_the_input(net: &mut GraphBuilder, x: ValueId) -> Built {
    let y = conv(net, "block", x, 3, 3)?;
    let y = net.add(x, y)?;
    let y = net.relu(y)?;
    let y = net.concat(&[x, y])?;
    head(net, y)
}

fn side_by_side(net: &mut GraphBuilder, x: ValueId) -> Built {
    let x = stem(net, x)?;
    let a = conv(net, "left", x, 3, 1)?;
    let a = net.relu(a)?;
    let b = conv(net, "right", x, 2, 3)?;
    let y = net.concat(&[a, b, x])?;
    let y = net.relu(y)?;
    head(net, y)
}

fn read_three_times(net: &mut GraphBuilder, x: ValueId) -> Built {
    let x = stem(net, x)?;
    let a = conv(net, "left", x, 4, 1)?;
    let b = conv(net, "right", x, 4, 3)?;
    let y = net.add(a, b)?;
    let y = net.add(x, y)?;
    head(net, y)
}

fn added_to_itself(net: &mut GraphBuilder, x: ValueId) -> Built {
    let x = stem(net, x)?;
    let y = net.add(x, x)?;
    let y = conv(net, "behind", y, 4, 3)?;
    let y = net.add(y, y)?;
    let y = net.relu(y)?;
    head(net, y)
}

fn diamond(net: &mut GraphBuilder, x: ValueId) -> Built {
    let x = stem(net, x)?;
    let a = net.max_pool2d(x, Pool2d::new(3, 2)?.with_pad(1)?)?;
    let b = net.conv2d("right", x, 4, Conv2d::new(3, 2, 1)?)?;
    let b = net.relu(b)?;
    let y = net.add(a, b)?;
    head(net, y)
}

fn relu_read_twice(net: &mut GraphBuilder, x: ValueId) -> Built {
    let x = stem(net, x)?;
    let a = conv(net, "left", x, 6, 3)?;
    let b = conv(net, "right", x, 6, 1)?;
    let y = net.add(a, b)?;
    let y = net.relu(y)?;
    head(net, y)
}

fn read_before_its_relu(net: &mut GraphBuilder, x: ValueId) -> Built {
    let x = conv(net, "stem", x, 4, 3)?;
    let a = net.relu(x)?;
    let b = conv(net, "right", x, 4, 1)?;
    let y = net.add(a, b)?;
    let y = net.relu(y)?;
    // The activation is read by the mask of its own gradient and by a layer.
    let z = conv(net, "behind", y, 4, 1)?;
    let y = net.concat(&[y, z])?;
    head(net, y)
}

fn dropout_in_one_branch(net: &mut GraphBuilder, x: ValueId) -> Built {
    let x = stem(net, x)?;
    let a = net.dropout(x, 0.5)?;
    let b = conv(net, "right", x, 4, 3)?;
    let y = net.add(a, b)?;
    head(net, y)
}

fn two_heads(net: &mut GraphBuilder, x: ValueId) -> Built {
    let x = stem(net, x)?;
    let a = conv(net, "left", x, 5, 1)?;
    let a = net.relu(a)?;
    let a = net.global_avg_pool(a)?;
    let b = conv(net, "right", x, 5, 3)?;
    let b = net.global_avg_pool(b)?;
    net.add(a, b)
}

fn dense(net: &mut GraphBuilder, x: ValueId) -> Built {
    let x = stem(net, x)?;
    let y = net.max_pool2d(x, Pool2d::new(2, 2)?)?;
    let y = net.flatten(y)?;
    let y = conv(net, "hidden", y, 6, 1)?;
    let y = net.relu(y)?;
    let y = conv(net, "dense", y, 5, 1)?;
    let y = net.global_avg_pool(y)?;
    let x = head(net, x)?;
    net.add(x, y)
}

fn twice_in_a_concatenation(net: &mut GraphBuilder, x: ValueId) -> Built {
    let x = stem(net, x)?;
    let y = conv(net, "behind", x, 2, 1)?;
    let y = net.concat(&[x, y, x])?;
    let y = conv(net, "mix", y, 4, 3)?;
    let y = net.relu(y)?;
    head(net, y)
}

/// Without biases before the normalisations: their gradients would be nothing but rounding.
fn normalised(net: &mut GraphBuilder, x: ValueId) -> Built {
    let bare = |filter| Conv2d::new(filter, 1, filter / 2).map(Conv2d::without_bias);
    let x = net.conv2d("stem", x, 4, bare(3)?)?;
    let x = net.batch_norm("stem.norm", x)?;
    let x = net.relu(x)?;
    let y = net.conv2d("block", x, 4, bare(3)?)?;
    let y = net.batch_norm("block.norm", y)?;
    let z = net.conv2d("beside", x, 4, bare(1)?)?;
    let z = net.batch_norm("beside.norm", z)?;
    let y = net.add(y, z)?;
    let y = net.relu(y)?;
    let y = net.local_response_norm(y, LocalResponseNorm::new(3)?)?;
    let y = net.batch_norm("last.norm", y)?;
    head(net, y)
}
