"""The ports on AWS: SQS, DynamoDB and S3. Only here does the event store know boto3."""
