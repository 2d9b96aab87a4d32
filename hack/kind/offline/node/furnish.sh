# Makes a plain Debian tree boot as a kind node. Runs inside the image build.
set -eu

for name in kubelet kubeadm kubectl; do ln -s kube /usr/bin/$name; done
ln -sf /usr/sbin/runc /usr/local/sbin/runc
ln -sf /lib/systemd/systemd /sbin/init
mkdir -p /etc/kubernetes/manifests /kind/manifests
chmod 755 /usr/local/bin/* /kind /kind/bin /kind/bin/*
find /etc/containerd /etc/systemd/system -type f -exec chmod 644 {} +

# Only what a node needs may start at boot.
units=/lib/systemd/system
rm -f $units/multi-user.target.wants/* $units/local-fs.target.wants/* /etc/systemd/system/*.wants/* \
  $units/sockets.target.wants/*udev* $units/sockets.target.wants/*initctl* \
  $units/sysinit.target.wants/systemd-tmpfiles-setup.service /etc/systemd/system/containerd-fuse-overlayfs.service
systemctl enable kubelet.service containerd.service undo-mount-hacks.service pod-network.service
systemctl mask systemd-binfmt.service
echo ReadKMsg=no >>/etc/systemd/journald.conf

# Lowering oom_score_adj takes CAP_SYS_RESOURCE, which the host may lack.
find /etc/systemd/system $units -name '*.service' -type f -exec sed -i '/^OOMScoreAdjust/d' {} +
sed -i 's/restrict_oom_score_adj = false/restrict_oom_score_adj = true/' /etc/containerd/config.toml

# What every container starts from: kind's hook for product files, and no limits that a small host could not grant.
ctr oci spec | jq 'del(.process.rlimits) | .hooks.createContainer += [{path: "/kind/bin/mount-product-files.sh"}]' >/etc/containerd/cri-base.json
