// nin-wgpu, by the same library as the page of web/.

import init, { Peer } from "/ours/peer_ours_web.js";

export const peer = (cpu) => async ({ network, batch, train, learningRate }) => {
  await init({ module_or_path: "/ours/peer_ours_web_bg.wasm" });
  const peer = await Peer.open(cpu, network, batch, train);
  const weights = Object.fromEntries(Array.from({ length: peer.parameters() }, (_, i) =>
    [peer.name(i), { shape: [...peer.shape(i)], data: peer.data(i) }]));
  return {
    start: { weights, images: peer.images(), labels: peer.labels() },
    turn: (count) => peer.turn(count, learningRate),
  };
};
