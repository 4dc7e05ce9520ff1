// The sum over the invocations of a workgroup, known to all of them; always added in the same order.

const LANES: u32 = 256;
const GROUPS: u32 = 16;
// Elements that the lanes sum in one go: 64 of each. Sums of those are summed themselves, since one running sum of a lane's
// thousands would lose digits.
const STRETCH: u32 = 64 * LANES;

var<workgroup> lanes: array<vec2f, LANES>;
var<workgroup> groups: array<vec2f, GROUPS>;

// All invocations must call it. Two barriers are enough for one call behind another: what the next call overwrites before a
// barrier of its own was read before this one's second.
fn workgroup_sum(value: vec2f, local: u32) -> vec2f {
    lanes[local] = value;
    workgroupBarrier();
    if local < GROUPS {
        var sum = lanes[local];
        for (var i = local + GROUPS; i < LANES; i += GROUPS) {
            sum += lanes[i];
        }
        groups[local] = sum;
    }
    workgroupBarrier();
    var sum = groups[0];
    for (var i = 1u; i < GROUPS; i++) {
        sum += groups[i];
    }
    return sum;
}
