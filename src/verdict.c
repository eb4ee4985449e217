/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/verdict.h"

/* Codes are rd_kafka_resp_err_t: from -199 the client's own, from -1 Kafka's protocol. They are
 * written as numbers, since the protocol's are on the wire and the client's are its ABI, so that
 * this table knows codes that the client it is built with does not. */
#define CODE_MIN (-200)
#define CODE_MAX 149

struct entry {
    const char *name; /* NULL: no such code */
    enum verdict verdict;
};

#define ENTRY(code, name_text, verdict_value) [(code)-CODE_MIN] = {name_text, verdict_value}
#define DELIVERED(code, name) ENTRY(code, name, VERDICT_DELIVERED)
#define RETRY(code, name) ENTRY(code, name, VERDICT_RETRY)
#define HOLD(code, name) ENTRY(code, name, VERDICT_HOLD)
#define DEAD(code, name) ENTRY(code, name, VERDICT_DEAD)
#define FATAL(code, name) ENTRY(code, name, VERDICT_FATAL)
#define RETURNED(code, name) ENTRY(code, name, VERDICT_RETURNED)

static const struct entry entries[CODE_MAX - CODE_MIN + 1] = {
    /* It is in the log of the partition. A duplicate sequence says that an earlier attempt, whose
     * answer was lost, had written it. */
    DELIVERED(0, "NO_ERROR"),
    DELIVERED(46, "DUPLICATE_SEQUENCE_NUMBER"),

    /* We asked for it back. */
    RETURNED(-152, "_PURGE_QUEUE"),
    RETURNED(-151, "_PURGE_INFLIGHT"),

    /* The way to the broker: no connection, no answer in time, an answer that made no sense. It
     * passes when the network or the broker is well again. A name that does not resolve is here
     * too, because a resolver fails as often as a name is misspelt. */
    RETRY(-199, "_BAD_MSG"),
    RETRY(-197, "_DESTROY"),
    RETRY(-195, "_TRANSPORT"),
    RETRY(-193, "_RESOLVE"),
    RETRY(-192, "_MSG_TIMED_OUT"),
    RETRY(-187, "_ALL_BROKERS_DOWN"),
    RETRY(-185, "_TIMED_OUT"),
    RETRY(-182, "_NODE_UPDATE"),
    RETRY(-166, "_TIMED_OUT_QUEUE"),
    RETRY(-158, "_PARTIAL"),
    RETRY(-155, "_UNDERFLOW"),
    RETRY(-146, "_UNKNOWN_BROKER"),
    RETRY(-137, "_DESTROY_BROKER"),
    RETRY(7, "REQUEST_TIMED_OUT"),
    RETRY(8, "BROKER_NOT_AVAILABLE"),
    RETRY(13, "NETWORK_EXCEPTION"),
    RETRY(129, "REBOOTSTRAP_REQUIRED"),

    /* The client is busy, or short of something that others on this machine will give back. */
    RETRY(-196, "_FAIL"),
    RETRY(-194, "_CRIT_SYS_RESOURCE"),
    RETRY(-184, "_QUEUE_FULL"),
    RETRY(-180, "_WAIT_COORD"),
    RETRY(-178, "_IN_PROGRESS"),
    RETRY(-177, "_PREV_IN_PROGRESS"),
    RETRY(-173, "_CONFLICT"),
    RETRY(-172, "_STATE"),
    RETRY(-167, "_OUTDATED"),
    RETRY(-164, "_WAIT_CACHE"),
    RETRY(-163, "_INTR"),
    RETRY(-153, "_RETRY"),
    RETRY(-143, "_APPLICATION"),

    /* Leaders, replicas and epochs move while brokers fail over or are restarted. */
    RETRY(-183, "_ISR_INSUFF"),
    RETRY(5, "LEADER_NOT_AVAILABLE"),
    RETRY(6, "NOT_LEADER_FOR_PARTITION"),
    RETRY(9, "REPLICA_NOT_AVAILABLE"),
    RETRY(11, "STALE_CTRL_EPOCH"),
    RETRY(14, "COORDINATOR_LOAD_IN_PROGRESS"),
    RETRY(15, "COORDINATOR_NOT_AVAILABLE"),
    RETRY(16, "NOT_COORDINATOR"),
    RETRY(19, "NOT_ENOUGH_REPLICAS"),
    RETRY(20, "NOT_ENOUGH_REPLICAS_AFTER_APPEND"),
    RETRY(41, "NOT_CONTROLLER"),
    RETRY(55, "OPERATION_NOT_ATTEMPTED"),
    RETRY(60, "REASSIGNMENT_IN_PROGRESS"),
    RETRY(72, "LISTENER_NOT_FOUND"),
    RETRY(74, "FENCED_LEADER_EPOCH"),
    RETRY(75, "UNKNOWN_LEADER_EPOCH"),
    RETRY(77, "STALE_BROKER_EPOCH"),
    RETRY(78, "OFFSET_NOT_AVAILABLE"),
    RETRY(80, "PREFERRED_LEADER_NOT_AVAILABLE"),
    RETRY(83, "ELIGIBLE_LEADERS_NOT_AVAILABLE"),
    RETRY(84, "ELECTION_NOT_NEEDED"),
    RETRY(85, "NO_REASSIGNMENT_IN_PROGRESS"),
    RETRY(107, "INELIGIBLE_REPLICA"),
    RETRY(108, "NEW_LEADER_ELECTED"),

    /* The broker's own trouble: its disk, its quotas, its unforeseen exceptions; and two requests
     * that made the same topic at once. */
    RETRY(-1, "UNKNOWN"),
    RETRY(36, "TOPIC_ALREADY_EXISTS"),
    RETRY(56, "KAFKA_STORAGE_ERROR"),
    RETRY(57, "LOG_DIR_NOT_FOUND"),
    RETRY(89, "THROTTLING_QUOTA_EXCEEDED"),

    /* Damaged on its way (the broker's checksum failed), or refused only because another record of
     * its batch was. */
    RETRY(-138, "_INVALID_DIFFERENT_RECORD"),
    RETRY(2, "INVALID_MSG"),

    /* The topic is not there, or cannot be made by itself as it was asked for. An operator makes
     * it, and the records are still wanted. */
    HOLD(-190, "_UNKNOWN_PARTITION"),
    HOLD(-188, "_UNKNOWN_TOPIC"),
    HOLD(3, "UNKNOWN_TOPIC_OR_PART"),
    HOLD(17, "TOPIC_EXCEPTION"),
    HOLD(37, "INVALID_PARTITIONS"),
    HOLD(38, "INVALID_REPLICATION_FACTOR"),
    HOLD(39, "INVALID_REPLICA_ASSIGNMENT"),
    HOLD(40, "INVALID_CONFIG"),
    HOLD(44, "POLICY_VIOLATION"),
    HOLD(100, "UNKNOWN_TOPIC_ID"),
    HOLD(103, "INCONSISTENT_TOPIC_ID"),

    /* Who we are, and what we may do. */
    HOLD(-181, "_SSL"),
    HOLD(-169, "_AUTHENTICATION"),
    HOLD(29, "TOPIC_AUTHORIZATION_FAILED"),
    HOLD(30, "GROUP_AUTHORIZATION_FAILED"),
    HOLD(31, "CLUSTER_AUTHORIZATION_FAILED"),
    HOLD(33, "UNSUPPORTED_SASL_MECHANISM"),
    HOLD(34, "ILLEGAL_SASL_STATE"),
    HOLD(53, "TRANSACTIONAL_ID_AUTHORIZATION_FAILED"),
    HOLD(54, "SECURITY_DISABLED"),
    HOLD(58, "SASL_AUTHENTICATION_FAILED"),
    HOLD(61, "DELEGATION_TOKEN_AUTH_DISABLED"),
    HOLD(62, "DELEGATION_TOKEN_NOT_FOUND"),
    HOLD(63, "DELEGATION_TOKEN_OWNER_MISMATCH"),
    HOLD(64, "DELEGATION_TOKEN_REQUEST_NOT_ALLOWED"),
    HOLD(65, "DELEGATION_TOKEN_AUTHORIZATION_FAILED"),
    HOLD(66, "DELEGATION_TOKEN_EXPIRED"),
    HOLD(67, "INVALID_PRINCIPAL_TYPE"),
    HOLD(93, "UNACCEPTABLE_CREDENTIAL"),
    HOLD(97, "PRINCIPAL_DESERIALIZATION_FAILURE"),

    /* Client and broker do not fit each other: a setting, a missing file or codec, or a version.
     * Every record of the destination meets the same, so none is to blame. */
    HOLD(-198, "_BAD_COMPRESSION"),
    HOLD(-189, "_FS"),
    HOLD(-186, "_INVALID_ARG"),
    HOLD(-171, "_UNKNOWN_PROTOCOL"),
    HOLD(-170, "_NOT_IMPLEMENTED"),
    HOLD(-165, "_UNSUPPORTED_FEATURE"),
    HOLD(-145, "_NOT_CONFIGURED"),
    HOLD(21, "INVALID_REQUIRED_ACKS"),
    HOLD(35, "UNSUPPORTED_VERSION"),
    HOLD(42, "INVALID_REQUEST"),
    HOLD(43, "UNSUPPORTED_FOR_MESSAGE_FORMAT"),
    HOLD(76, "UNSUPPORTED_COMPRESSION_TYPE"),
    HOLD(104, "INCONSISTENT_CLUSTER_ID"),

    /* The batch (not the record) is larger than a segment of the topic: segment.bytes or batch.size
     * is to be changed. */
    HOLD(18, "RECORD_LIST_TOO_LARGE"),

    /* Outside of the time span that the topic takes (message.timestamp.*). After a long outage that
     * is a whole backlog, and widening the span lets it in; one that is ahead of the broker's clock
     * becomes right by waiting. */
    HOLD(32, "INVALID_TIMESTAMP"),

    /* The record itself: larger than a batch may be, or not what the topic takes (a compacted topic
     * and no key). No waiting makes it fit, and others behind it do. */
    DEAD(10, "MSG_SIZE_TOO_LARGE"),
    DEAD(87, "INVALID_RECORD"),

    /* Client and broker no longer agree on what was written. Only a new producer, which begins a
     * new series of sequence numbers, gets out of this. */
    FATAL(-150, "_FATAL"),
    FATAL(-149, "_INCONSISTENT"),
    FATAL(-148, "_GAPLESS_GUARANTEE"),
    FATAL(-144, "_FENCED"),
    FATAL(45, "OUT_OF_ORDER_SEQUENCE_NUMBER"),
    FATAL(47, "INVALID_PRODUCER_EPOCH"),
    FATAL(48, "INVALID_TXN_STATE"),
    FATAL(49, "INVALID_PRODUCER_ID_MAPPING"),
    FATAL(52, "TRANSACTION_COORDINATOR_FENCED"),
    FATAL(59, "UNKNOWN_PRODUCER_ID"),
    FATAL(90, "PRODUCER_FENCED"),
    FATAL(105, "TRANSACTIONAL_ID_NOT_FOUND"),
    FATAL(120, "TRANSACTION_ABORTABLE"),

    /* Not answers to anything that a producer without transactions asks: consumers, groups, share
     * groups, streams, administration, brokers among themselves. Should one come all the same, we
     * know nothing about the record, and keeping it is right. */
    RETRY(-191, "_PARTITION_EOF"),
    RETRY(-179, "_UNKNOWN_GROUP"),
    RETRY(-176, "_EXISTING_SUBSCRIPTION"),
    RETRY(-175, "_ASSIGN_PARTITIONS"),
    RETRY(-174, "_REVOKE_PARTITIONS"),
    RETRY(-168, "_NO_OFFSET"),
    RETRY(-162, "_KEY_SERIALIZATION"),
    RETRY(-161, "_VALUE_SERIALIZATION"),
    RETRY(-160, "_KEY_DESERIALIZATION"),
    RETRY(-159, "_VALUE_DESERIALIZATION"),
    RETRY(-157, "_READ_ONLY"),
    RETRY(-156, "_NOENT"),
    RETRY(-154, "_INVALID_TYPE"),
    RETRY(-147, "_MAX_POLL_EXCEEDED"),
    RETRY(-142, "_ASSIGNMENT_LOST"),
    RETRY(-141, "_NOOP"),
    RETRY(-140, "_AUTO_OFFSET_RESET"),
    RETRY(-139, "_LOG_TRUNCATION"),
    RETRY(1, "OFFSET_OUT_OF_RANGE"),
    RETRY(4, "INVALID_MSG_SIZE"),
    RETRY(12, "OFFSET_METADATA_TOO_LARGE"),
    RETRY(22, "ILLEGAL_GENERATION"),
    RETRY(23, "INCONSISTENT_GROUP_PROTOCOL"),
    RETRY(24, "INVALID_GROUP_ID"),
    RETRY(25, "UNKNOWN_MEMBER_ID"),
    RETRY(26, "INVALID_SESSION_TIMEOUT"),
    RETRY(27, "REBALANCE_IN_PROGRESS"),
    RETRY(28, "INVALID_COMMIT_OFFSET_SIZE"),
    RETRY(50, "INVALID_TRANSACTION_TIMEOUT"),
    RETRY(51, "CONCURRENT_TRANSACTIONS"),
    RETRY(68, "NON_EMPTY_GROUP"),
    RETRY(69, "GROUP_ID_NOT_FOUND"),
    RETRY(70, "FETCH_SESSION_ID_NOT_FOUND"),
    RETRY(71, "INVALID_FETCH_SESSION_EPOCH"),
    RETRY(73, "TOPIC_DELETION_DISABLED"),
    RETRY(79, "MEMBER_ID_REQUIRED"),
    RETRY(81, "GROUP_MAX_SIZE_REACHED"),
    RETRY(82, "FENCED_INSTANCE_ID"),
    RETRY(86, "GROUP_SUBSCRIBED_TO_TOPIC"),
    RETRY(88, "UNSTABLE_OFFSET_COMMIT"),
    RETRY(91, "RESOURCE_NOT_FOUND"),
    RETRY(92, "DUPLICATE_RESOURCE"),
    RETRY(94, "INCONSISTENT_VOTER_SET"),
    RETRY(95, "INVALID_UPDATE_VERSION"),
    RETRY(96, "FEATURE_UPDATE_FAILED"),
    RETRY(98, "SNAPSHOT_NOT_FOUND"),
    RETRY(99, "POSITION_OUT_OF_RANGE"),
    RETRY(101, "DUPLICATE_BROKER_REGISTRATION"),
    RETRY(102, "BROKER_ID_NOT_REGISTERED"),
    RETRY(106, "FETCH_SESSION_TOPIC_ID_ERROR"),
    RETRY(109, "OFFSET_MOVED_TO_TIERED_STORAGE"),
    RETRY(110, "FENCED_MEMBER_EPOCH"),
    RETRY(111, "UNRELEASED_INSTANCE_ID"),
    RETRY(112, "UNSUPPORTED_ASSIGNOR"),
    RETRY(113, "STALE_MEMBER_EPOCH"),
    RETRY(114, "MISMATCHED_ENDPOINT_TYPE"),
    RETRY(115, "UNSUPPORTED_ENDPOINT_TYPE"),
    RETRY(116, "UNKNOWN_CONTROLLER_ID"),
    RETRY(117, "UNKNOWN_SUBSCRIPTION_ID"),
    RETRY(118, "TELEMETRY_TOO_LARGE"),
    RETRY(119, "INVALID_REGISTRATION"),
    RETRY(121, "INVALID_RECORD_STATE"),
    RETRY(122, "SHARE_SESSION_NOT_FOUND"),
    RETRY(123, "INVALID_SHARE_SESSION_EPOCH"),
    RETRY(124, "FENCED_STATE_EPOCH"),
    RETRY(125, "INVALID_VOTER_KEY"),
    RETRY(126, "DUPLICATE_VOTER"),
    RETRY(127, "VOTER_NOT_FOUND"),
    RETRY(128, "INVALID_REGULAR_EXPRESSION"),
    RETRY(130, "STREAMS_INVALID_TOPOLOGY"),
    RETRY(131, "STREAMS_INVALID_TOPOLOGY_EPOCH"),
    RETRY(132, "STREAMS_TOPOLOGY_FENCED"),
    RETRY(133, "SHARE_SESSION_LIMIT_REACHED"),
};

/* The code's entry, or NULL for one that the table does not know. */
static const struct entry *find(int error)
{
    const struct entry *entry;

    if (error < CODE_MIN || error > CODE_MAX) {
        return NULL;
    }
    entry = &entries[error - CODE_MIN];
    return entry->name != NULL ? entry : NULL;
}

enum verdict verdict_of_error(int error)
{
    const struct entry *entry = find(error);

    return entry != NULL ? entry->verdict : VERDICT_RETRY;
}

const char *verdict_error_name(int error)
{
    const struct entry *entry = find(error);

    return entry != NULL ? entry->name : "unknown";
}

const char *verdict_name(enum verdict verdict)
{
    switch (verdict) {
    case VERDICT_DELIVERED:
        return "delivered";
    case VERDICT_RETRY:
        return "retry";
    case VERDICT_HOLD:
        return "hold";
    case VERDICT_DEAD:
        return "dead";
    case VERDICT_FATAL:
        return "fatal";
    case VERDICT_RETURNED:
        return "returned";
    case VERDICT_COUNT:
        break;
    }
    return "unknown";
}
