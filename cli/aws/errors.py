"""What can go wrong with an environment in AWS."""

from __future__ import annotations

from artifacts.errors import EvctlError


class EnvironmentFileError(EvctlError):
    code = "E5501"
    exit_code = 2
    explanation = (
        "aws/<env>.yaml says what an environment is made of; something is wrong in it. "
        "docs/aws/README.md has its keys."
    )


class AwsNotAllowed(EvctlError):
    code = "E6001"
    exit_code = 4
    explanation = (
        "AWS refuses: credentials that are missing, wrong, expired or of another account, a clock "
        "that is off, or a policy that doesn't allow the action. Nothing was changed by that call."
    )


class AwsUnreachable(EvctlError):
    code = "E6002"
    exit_code = 7
    explanation = (
        "AWS doesn't answer: a region that doesn't exist, an endpoint that doesn't resolve, or no "
        "network; or it is still busy with what it was told before."
    )


class AwsRefused(EvctlError):
    code = "E6003"
    exit_code = 6
    explanation = (
        "AWS has answered with an error of another kind: a limit of the account, or a value that "
        "it doesn't take. What was made before it stays; the next apply goes on from there."
    )


class NotOurs(EvctlError):
    code = "E6004"
    exit_code = 4
    explanation = (
        "The name is taken by something without this environment's tags. evctl changes and deletes "
        "only what bears them, so it leaves that alone."
    )


class CannotBecome(EvctlError):
    code = "E6005"
    exit_code = 2
    explanation = (
        "What is there can't be changed into what the file says: AWS fixes it when it is made, as "
        "it does a table's key or a bucket's region."
    )


class StillHolds(EvctlError):
    code = "E6006"
    exit_code = 4
    explanation = (
        "Something that is to be deleted still holds events, or nodes that run. It goes only when "
        "it is named: `evctl aws destroy --with-data NAME`."
    )
