"""What AWS doesn't let pass, by its own documents: the bounds that capacity and simulation keep.

SQS: AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-queues.html and quotas-messages.html.
DynamoDB: amazondynamodb/latest/developerguide/ServiceQuotas.html and
on-demand-capacity-mode.html. S3: AmazonS3/latest/userguide/optimizing-performance.html.
"""

SQS_IN_FLIGHT = 120_000  # messages of a queue, about; a long poll at the cap says nothing
SQS_MESSAGE_BYTES = 1 << 20  # and of a batch's messages together
SQS_CHUNK_BYTES = 64 << 10  # each is billed as a request
DYNAMODB_PARTITION_WRITES = 1_000  # write units a second
DYNAMODB_TABLE_WRITES = 40_000  # the default quota of a table
DYNAMODB_NEW_TABLE_WRITES = 4_000  # on demand, as it is made; then twice the highest peak
DYNAMODB_PEAK_S = 30 * 60  # how long it takes to become that
DYNAMODB_WRITE_BYTES = 1024
DYNAMODB_READ_BYTES = 4096
DYNAMODB_ITEM_BYTES = 400_000
S3_PREFIX_PUTS = 3_500  # a second
