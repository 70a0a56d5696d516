/* qbm_test: the artifact writer: same bytes from any order and any number of threads; and when it
 * fails, or is stopped, nothing is left and what was there before stays. */
#include "qbrt.h"
#include "toy.h"

#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

static struct toy_artifact artifact;
static float weights[TOY_TABLE + TOY_VOCAB];

static size_t count_files(const char *folder)
{
    size_t n = 0;
    DIR *d = opendir(folder);
    REQUIRE(d);
    for (const struct dirent *e; (e = readdir(d));)
        n += strcmp(e->d_name, ".") && strcmp(e->d_name, "..");
    closedir(d);
    return n;
}

struct share {
    struct qbc_qbm *writer;
    size_t first;
};

/* Every second row of the table. */
static void *write_rows(void *arg)
{
    const struct share *s = arg;
    const size_t row = TOY_VOCAB * sizeof(float);
    for (size_t i = s->first; i < TOY_VOCAB; i += 2)
        qbc_qbm_write(s->writer, 0, i * row, weights + i * TOY_VOCAB, row);
    return NULL;
}

static void test_threads(struct qbc *q, const char *path, const uint8_t *want, size_t want_bytes)
{
    struct qbc_qbm *w = qbc_qbm_begin(q, path, &artifact.facts);
    REQUIRE(w);
    struct share shares[] = {{w, 0}, {w, 1}};
    pthread_t helper;
    REQUIRE(!pthread_create(&helper, NULL, write_rows, &shares[1]));
    write_rows(&shares[0]);
    REQUIRE(!pthread_join(helper, NULL));
    qbc_qbm_write(w, 0, artifact.tensors[1].offset, weights + TOY_TABLE, artifact.tensors[1].size);
    REQUIRE(access(path, F_OK) != 0); /* not before it is whole */
    REQUIRE(qbc_qbm_finish(w, true));
    size_t bytes;
    uint8_t *got = toy_read(path, &bytes);
    REQUIRE(bytes == want_bytes && !memcmp(got, want, bytes));
    free(got);
}

/* What is not written is zero, up to the last byte. */
static void test_gaps(struct qbc *q, const char *path, size_t want_bytes)
{
    struct qbc_qbm *w = qbc_qbm_begin(q, path, &artifact.facts);
    REQUIRE(w && qbc_qbm_finish(w, true));
    size_t bytes;
    uint8_t *got = toy_read(path, &bytes);
    REQUIRE(bytes == want_bytes);
    for (size_t i = 8192; i < bytes; i++)
        REQUIRE(!got[i]);
    free(got);
}

static void test_given_up(struct qbc *q, const char *folder, const char *path)
{
    size_t bytes, errors = q->errors, files = count_files(folder);
    toy_write(path, "precious", 8);
    struct qbc_qbm *w = qbc_qbm_begin(q, path, &artifact.facts);
    REQUIRE(w && !qbc_qbm_finish(w, false));
    REQUIRE(q->errors == errors && count_files(folder) == files);
    w = qbc_qbm_begin(q, path, &artifact.facts);
    qbc_qbm_write(w, 0, artifact.weights.size - 8, weights, 9); /* beyond the section */
    REQUIRE(!qbc_qbm_finish(w, true) && q->errors == errors + 1);
    w = qbc_qbm_begin(q, path, &artifact.facts);
    REQUIRE(!qbc_qbm_write(w, 1, 0, weights, 9)); /* no such section */
    REQUIRE(!qbc_qbm_write(w, 0, 0, weights, 9)); /* too late */
    REQUIRE(!qbc_qbm_finish(w, true) && q->errors == errors + 2);
    artifact.tensors[1].size += 4096;
    REQUIRE(!qbc_qbm_begin(q, path, &artifact.facts) && q->errors == errors + 3);
    artifact.tensors[1].size -= 4096;
    uint8_t *got = toy_read(path, &bytes);
    REQUIRE(bytes == 8 && !memcmp(got, "precious", 8) && count_files(folder) == files);
    free(got);
}

static void test_unwritable(struct qbc *q, const char *folder)
{
    size_t errors = q->errors, files = count_files(folder);
    struct stat before, after;
    REQUIRE(!toy_emit(q, &artifact, "/nowhere/x.qbm") && q->errors == errors + 1);
    REQUIRE(!toy_emit(q, &artifact, folder) && q->errors == errors + 2);
    REQUIRE(!stat("/dev/full", &before));
    REQUIRE(!toy_emit(q, &artifact, "/dev/full") && q->errors == errors + 3); /* a full disk */
    REQUIRE(!stat("/dev/full", &after) && S_ISCHR(after.st_mode) && before.st_ino == after.st_ino);

    const struct rlimit small = {5000, RLIM_INFINITY};
    struct rlimit usual;
    REQUIRE(!getrlimit(RLIMIT_FSIZE, &usual));
    signal(SIGXFSZ, SIG_IGN);
    REQUIRE(!setrlimit(RLIMIT_FSIZE, &small));
    REQUIRE(!toy_emit(q, &artifact, toy_path("big.qbm")) && q->errors == errors + 4);
    REQUIRE(!setrlimit(RLIMIT_FSIZE, &usual));
    signal(SIGXFSZ, SIG_DFL);
    REQUIRE(count_files(folder) == files);
}

/* A child is stopped while it writes. */
static void test_signals(struct qbc *q, const char *folder)
{
    const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    size_t files = count_files(folder);
    for (size_t i = 0; i < 3; i++) {
        pid_t child = fork();
        REQUIRE(child >= 0);
        if (child == 0) {
            qbc_remove_on_signals();
            struct qbc_qbm *w = qbc_qbm_begin(q, toy_path("stopped.qbm"), &artifact.facts);
            qbc_qbm_write(w, 0, 0, weights, 100);
            if (count_files(folder) == files + 1)
                raise(signals[i]);
            _exit(1);
        }
        int status;
        REQUIRE(waitpid(child, &status, 0) == child);
        REQUIRE(WIFSIGNALED(status) && WTERMSIG(status) == signals[i]);
        REQUIRE(count_files(folder) == files);
    }
    /* here, where nobody asked for it, signals are left alone */
    struct sigaction now;
    REQUIRE(toy_emit(q, &artifact, toy_path("calm.qbm")));
    REQUIRE(!sigaction(SIGINT, NULL, &now) && now.sa_handler == SIG_DFL);
}

/* A link is followed, not replaced. */
static void test_link(struct qbc *q)
{
    struct stat about;
    toy_write(toy_path("real.qbm"), "", 0);
    REQUIRE(!symlink("real.qbm", toy_path("link.qbm")));
    REQUIRE(toy_emit(q, &artifact, toy_path("link.qbm")));
    REQUIRE(!lstat(toy_path("link.qbm"), &about) && S_ISLNK(about.st_mode));
    REQUIRE(!lstat(toy_path("real.qbm"), &about) && S_ISREG(about.st_mode) && about.st_size > 8192);
}

int main(void)
{
    struct qbc q = {.options = {.diagnose = qbc_print_diagnostic}};
    size_t bytes, image_bytes;
    REQUIRE(qbc_open(&q));
    uint8_t *image = toy_image(toy_native(), "test/unit/inputs/toy_image.c", "", &image_bytes);
    REQUIRE(image);
    toy_artifact(&artifact);
    toy_add_variant(&artifact, toy_native(), image, image_bytes);
    toy_weights(weights);
    REQUIRE(toy_emit(&q, &artifact, toy_path("first.qbm")));
    uint8_t *first = toy_read(toy_path("first.qbm"), &bytes);
    test_threads(&q, toy_path("second.qbm"), first, bytes);
    test_gaps(&q, toy_path("gaps.qbm"), bytes);
    char path[300];
    snprintf(path, sizeof path, "%s", toy_path("precious.qbm"));
    toy_write(path, "", 0);
    test_given_up(&q, toy_folder(), path);
    test_unwritable(&q, toy_folder());
    test_signals(&q, toy_folder());
    test_link(&q);
    free(first);
    free(image);
    qbc_close(&q);
    toy_clean();
    puts("qbm_test: passed");
    return 0;
}
