/* What programs do through ZooKeeper's C client, against the server at argv[1]. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zookeeper/zookeeper.h>

static volatile int connected, events, last_type;
static char last_path[64];

static void watcher(zhandle_t *zh, int type, int state, const char *path, void *context) {
    (void)zh;
    (void)context;
    if (type == ZOO_SESSION_EVENT) {
        connected = state == ZOO_CONNECTED_STATE;
        return;
    }
    last_type = type;
    strncpy(last_path, path, sizeof(last_path) - 1);
    events++;
}

#define SO(condition) \
    do { \
        if (!(condition)) { \
            printf("NOT SO, line %d: %s\n", __LINE__, #condition); \
            exit(1); \
        } \
    } while (0)

static void wait_for(volatile int *what, int least) {
    for (int i = 0; i < 3000 && *what < least; i++) {
        usleep(10000);
    }
    SO(*what >= least);
}

static volatile int authenticated;
static void on_auth(int rc, const void *data) {
    (void)data;
    SO(rc == ZOK);
    authenticated = 1;
}

int main(int argc, char **argv) {
    char path[128], data[128];
    int size;
    struct Stat stat;
    struct String_vector names;
    struct ACL_vector acl;
    SO(argc == 2);
    zoo_set_debug_level(ZOO_LOG_LEVEL_ERROR);
    zhandle_t *zh = zookeeper_init(argv[1], watcher, 20000, NULL, NULL, 0);
    SO(zh != NULL);
    wait_for(&connected, 1);

    SO(zoo_create(zh, "/c", "one", 3, &ZOO_OPEN_ACL_UNSAFE, 0, path, sizeof(path)) == ZOK);
    SO(strcmp(path, "/c") == 0);
    SO(zoo_create(zh, "/c", "one", 3, &ZOO_OPEN_ACL_UNSAFE, 0, path, sizeof(path)) == ZNODEEXISTS);
    SO(zoo_create2(zh, "/c/s", NULL, -1, &ZOO_OPEN_ACL_UNSAFE, ZOO_EPHEMERAL | ZOO_SEQUENCE, path, sizeof(path), &stat) == ZOK);
    SO(strcmp(path, "/c/s0000000000") == 0 && stat.ephemeralOwner == zoo_client_id(zh)->client_id);
    size = sizeof(data);
    SO(zoo_get(zh, path, 0, data, &size, &stat) == ZOK && size == -1); /* no data is not the same as empty data */
    size = sizeof(data);
    SO(zoo_get(zh, "/c", 1, data, &size, &stat) == ZOK && size == 3 && memcmp(data, "one", 3) == 0);
    SO(stat.version == 0 && stat.numChildren == 1);

    SO(zoo_set2(zh, "/c", "two", 3, 0, &stat) == ZOK && stat.version == 1);
    wait_for(&events, 1);
    SO(last_type == ZOO_CHANGED_EVENT && strcmp(last_path, "/c") == 0);
    SO(zoo_set(zh, "/c", "three", 5, 0) == ZBADVERSION);
    SO(zoo_wexists(zh, "/later", watcher, NULL, &stat) == ZNONODE);
    SO(zoo_wget_children2(zh, "/c", watcher, NULL, &names, &stat) == ZOK);
    SO(names.count == 1 && strcmp(names.data[0], "s0000000000") == 0);
    deallocate_String_vector(&names);

    zoo_op_t ops[3];
    zoo_op_result_t results[3];
    zoo_create_op_init(&ops[0], "/later", "x", 1, &ZOO_OPEN_ACL_UNSAFE, 0, path, sizeof(path));
    zoo_set_op_init(&ops[1], "/later", "y", 1, 0, &stat);
    zoo_check_op_init(&ops[2], "/c", 1);
    SO(zoo_multi(zh, 3, ops, results) == ZOK && results[0].err == ZOK && stat.version == 1);
    wait_for(&events, 2);
    SO(last_type == ZOO_CREATED_EVENT && strcmp(last_path, "/later") == 0);
    zoo_delete_op_init(&ops[0], "/later", -1);
    zoo_check_op_init(&ops[1], "/c", 7);
    SO(zoo_multi(zh, 2, ops, results) == ZBADVERSION && results[0].err == ZOK && results[1].err == ZBADVERSION);
    SO(zoo_exists(zh, "/later", 0, &stat) == ZOK);

    SO(zoo_add_auth(zh, "digest", "bob:secret", 10, on_auth, NULL) == ZOK);
    wait_for(&authenticated, 1);
    SO(zoo_create(zh, "/bob", "b", 1, &ZOO_CREATOR_ALL_ACL, 0, path, sizeof(path)) == ZOK);
    SO(zoo_get_acl(zh, "/bob", &acl, &stat) == ZOK);
    SO(acl.count == 1 && strcmp(acl.data[0].id.scheme, "digest") == 0 && strncmp(acl.data[0].id.id, "bob:", 4) == 0);
    deallocate_ACL_vector(&acl);

    connected = 0;
    zhandle_t *other = zookeeper_init(argv[1], watcher, 20000, NULL, NULL, 0);
    SO(other != NULL);
    wait_for(&connected, 1);
    size = sizeof(data);
    SO(zoo_get(other, "/bob", 0, data, &size, &stat) == ZNOAUTH);
    SO(zoo_exists(other, "/c/s0000000000", 0, &stat) == ZOK);
    SO(zookeeper_close(zh) == ZOK);
    SO(zoo_exists(other, "/c/s0000000000", 0, &stat) == ZNONODE); /* its session has ended */
    SO(zoo_delete(other, "/c", -1) == ZOK && zoo_delete(other, "/later", 1) == ZOK);
    SO(zoo_get_children(other, "/", 0, &names) == ZOK && names.count == 2);
    deallocate_String_vector(&names);
    SO(zookeeper_close(other) == ZOK);
    printf("all well\n");
    return 0;
}
