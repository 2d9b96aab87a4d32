#!/bin/sh
# The whole pod network, without a CNI image to pull: node number n (the last byte of its address) owns 10.244.n.0/24,
# and every node has a static route to each of the others. Enough for a kind network of up to 30 nodes.
set -eu
address=$(ip -4 -brief address show dev eth0 | tr -s ' ' | cut -d' ' -f3)
address=${address%/*}
neighbours=${address%.*}
own=${address##*.}

mkdir -p /etc/cni/net.d
jq -n --arg subnet "10.244.$own.0/24" '{
  cniVersion: "1.0.0", name: "pods",
  plugins: [
    {type: "bridge", bridge: "pods0", isGateway: true, ipMasq: true, hairpinMode: true,
     ipam: {type: "host-local", ranges: [[{subnet: $subnet}]], routes: [{dst: "0.0.0.0/0"}]}},
    {type: "portmap", capabilities: {portMappings: true}}]}' >/etc/cni/net.d/10-pods.conflist

for other in $(seq 2 31); do
  [ "$other" = "$own" ] || ip route replace "10.244.$other.0/24" via "$neighbours.$other" || true
done
