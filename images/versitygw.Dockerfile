# An S3 server for demos and tests: versitygw keeps buckets as folders. One static program, nothing else.
FROM scratch
COPY versitygw /versitygw
USER 65532:65532
ENTRYPOINT ["/versitygw"]
