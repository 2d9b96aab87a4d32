# The images of a control plane, each from a program that was built on the host.
FROM toolorch/ground-debian:bookworm AS kube
COPY kube /usr/local/bin/kube
RUN cd /usr/local/bin && for p in etcd kube-apiserver kube-controller-manager kube-scheduler kube-proxy; do ln -s kube $p; done

FROM scratch AS pause
COPY pause /pause
ENTRYPOINT ["/pause"]

FROM scratch AS coredns
COPY coredns /coredns
ENTRYPOINT ["/coredns"]
