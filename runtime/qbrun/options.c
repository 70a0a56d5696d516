/* options.c: the command line as a table; parsing and the help page read the same rows. */
#include "options.h"
#include "tool.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum kind { HEADING, FLAG, TASK, COUNT, REAL, SEED, TEXT, INPUT, HELP, VERSION };

struct row {
    const char *letter, *name; /* "-p", "--prompt"; either may be NULL */
    const char *argument;      /* its name in the help; NULL: takes none */
    const char *help;
    enum kind kind;
    enum task task;
    size_t offset; /* in struct options */
    double low, high;
};

#define AT(field) offsetof(struct options, field)

static const struct row rows[] = {
    {.help = "What to do (one of them)"},
    {"-p", "--prompt", "TEXT", "continue TEXT, printing while it goes", TASK, TASK_TEXT, 0, 0, 0},
    {"-f", "--file", "FILE", "continue the text of FILE", TASK, TASK_TEXT, 0, 0, 0},
    {NULL, "--ppl", "FILE", "perplexity of a text, or of the token ids in a .npy", TASK, TASK_PPL,
     0, 0, 0},
    {NULL, "--bench", NULL, "measure tokens per second: 512 at once, 128 one by one", TASK,
     TASK_BENCH, 0, 0, 0},
    {NULL, "--info", "[=json]", "say what the model is; it need not be for this CPU", TASK,
     TASK_INFO, 0, 0, 0},
    {NULL, "--logits", "FILE.npy", "scores after each of the token ids [T]: float32 [T, V] to -o",
     TASK, TASK_LOGITS, 0, 0, 0},
    {NULL, "--tokens", "FILE.npy", "continue the token ids by -n ids: int64 [N] to -o; end tokens\n"
     "are ids like others", TASK, TASK_TOKENS, 0, 0, 0},
    {NULL, "--input", "NAME=FILE.npy", "an input of a model that is no language model, once for each;\n"
     "its results are written to the folder -o", INPUT, TASK_RUN, 0, 0, 0},
    {.help = "How"},
    {"-n", NULL, "N", "new tokens, at most (256)", COUNT, 0, AT(n), 0, 1 << 30},
    {"-t", "--threads", "N", "threads (one a core)", COUNT, 0, AT(threads), 1, 1024},
    {"-o", "--output", "FILE", "where --logits and --tokens write, and with --input the results", TEXT, 0, AT(output), 0, 0},
    {NULL, "--chunk", "N", "feed N tokens a call (as many as the model takes)", COUNT, 0,
     AT(chunk), 1, 1 << 30},
    {NULL, "--window", "N", "tokens in a window of --ppl (256, or the rows of the .npy)", COUNT, 0,
     AT(window), 2, 1 << 30},
    {"-r", "--repetitions", "N", "of each measurement of --bench (5)", COUNT, 0, AT(repetitions),
     1, 1000},
    {NULL, "--no-echo", NULL, "do not print the prompt before what follows it", FLAG, 0,
     AT(no_echo), 0, 0},
    {NULL, "--no-special", NULL, "feed the prompt without the tokenizer's special tokens", FLAG, 0,
     AT(no_special), 0, 0},
    {"-v", "--verbose", NULL, "say on standard error how fast it went", FLAG, 0, AT(verbose), 0,
     0},
    {.help = "Choosing the next token"},
    {NULL, "--temp", "T", "temperature (0.8); 0 always takes the likeliest", REAL, 0,
     AT(temperature), 0, 1e6},
    {NULL, "--top-k", "K", "of the K likeliest (40); 0: of all", COUNT, 0, AT(top_k), 0, 1 << 30},
    {NULL, "--top-p", "P", "of the likeliest that together reach P (0.95); 1: of all", REAL, 0,
     AT(top_p), 0, 1},
    {NULL, "--min-p", "P", "of those at least P times as likely as the likeliest (0.05)", REAL, 0,
     AT(min_p), 0, 1},
    {NULL, "--seed", "S", "the same seed gives the same text (another each time)", SEED, 0,
     AT(seed), 0, 0},
    {.help = "Other"},
    {"-h", "--help", NULL, "print this page", HELP, 0, 0, 0, 0},
    {NULL, "--version", NULL, "print the version", VERSION, 0, 0, 0, 0},
};
enum { N_ROWS = sizeof rows / sizeof *rows };

static void print_help(const struct options *o)
{
    const char *program = o->own_bytes ? o->model : "qbrun model.qbm";
    printf("%s\n\n"
           "  %s -p \"Once upon a time\"\n"
           "  %s --bench -t 2\n"
           "  %s --logits tokens.npy -o logits.npy\n",
           o->own_bytes ? "qbrun, with a model of its own" : "qbrun: run a .qbm model", program,
           program, program);
    for (int i = 0; i < N_ROWS; i++) {
        const struct row *r = &rows[i];
        if (r->kind == HEADING) {
            printf("\n%s:\n", r->help);
            continue;
        }
        char left[64];
        snprintf(left, sizeof left, "%s%s%s%s%s", r->letter ? r->letter : "    ",
                 !r->name ? "" : r->letter ? ", " : "", r->name ? r->name : "",
                 r->argument && *r->argument != '[' ? " " : "", r->argument ? r->argument : "");
        const char *more = strchr(r->help, '\n');
        printf("  %-24s %.*s\n", left, more ? (int)(more - r->help) : 1000, r->help);
        if (more)
            printf("  %-24s %s\n", "", more + 1);
    }
    puts("\nExit status: 0 when all went well, else 1. A .qbm holds native code: run only what comes\n"
         "from a maker you trust.");
}

/* --- finding rows */

static bool is_name(const struct row *r, const char *name)
{
    return (r->letter && !strcmp(r->letter, name)) || (r->name && !strcmp(r->name, name));
}

static const struct row *find(const char *name)
{
    for (int i = 0; i < N_ROWS; i++)
        if (is_name(&rows[i], name))
            return &rows[i];
    return NULL;
}

/* Levenshtein's distance, for short words. */
static int distance(const char *a, const char *b)
{
    enum { MOST = 32 };
    int row[MOST + 1];
    int n = (int)strlen(b);
    if (n > MOST)
        return MOST;
    for (int k = 0; k <= n; k++)
        row[k] = k;
    for (int i = 1; a[i - 1]; i++) {
        int diagonal = row[0];
        row[0] = i;
        for (int k = 1; k <= n; k++) {
            int other = row[k] < row[k - 1] ? row[k] + 1 : row[k - 1] + 1;
            int same = diagonal + (a[i - 1] != b[k - 1]);
            diagonal = row[k];
            row[k] = same < other ? same : other;
        }
    }
    return row[n];
}

static bool unknown(const char *name)
{
    const char *nearest = NULL;
    int least = 3;
    for (int i = 0; i < N_ROWS; i++) {
        int d = rows[i].name ? distance(name, rows[i].name) : least;
        if (d < least) {
            least = d;
            nearest = rows[i].name;
        }
    }
    if (nearest)
        return complain("unknown option '%s'; did you mean '%s'?", name, nearest);
    return complain("unknown option '%s'; 'qbrun -h' lists them", name);
}

/* --- values */

static bool set_count(const struct row *r, const char *name, const char *value, void *field)
{
    char *end;
    long long number = strtoll(value, &end, 10);
    if (!*value || *end || (double)number < r->low || (double)number > r->high)
        return complain("'%s' takes a number from %.0f to %.0f, not '%s'", name, r->low, r->high,
                        value);
    *(int64_t *)field = number;
    return true;
}

static bool set_real(const struct row *r, const char *name, const char *value, void *field)
{
    char *end;
    double number = strtod(value, &end);
    if (!*value || *end || !(number >= r->low && number <= r->high))
        return complain("'%s' takes a number from %g to %g, not '%s'", name, r->low, r->high,
                        value);
    *(double *)field = number;
    return true;
}

static bool set_seed(const char *name, const char *value, void *field)
{
    char *end;
    *(uint64_t *)field = strtoull(value, &end, 0);
    return (*value && !*end) || complain("'%s' takes a whole number, not '%s'", name, value);
}

static bool set_task(const struct row *r, const char *value, struct options *o)
{
    if (o->task != TASK_NONE)
        return complain("'%s' is a second thing to do; one at a time", r->name);
    o->task = r->task;
    o->input = value;
    o->prompt_is_file = !strcmp(r->name, "--file");
    if (r->task != TASK_INFO || !value)
        return true;
    o->info_as_json = !strcmp(value, "json");
    return o->info_as_json || complain("'--info' prints text or, with '=json', JSON");
}

/* --input says by itself what to do. */
static bool add_input(const char *value, struct options *o)
{
    if (o->task != TASK_NONE && o->task != TASK_RUN)
        return complain("'--input' is a second thing to do; one at a time");
    if (o->n_inputs == MOST_INPUTS || !strchr(value, '='))
        return complain("'--input' takes NAME=FILE.npy, at most %d times, not '%s'", MOST_INPUTS, value);
    o->task = TASK_RUN;
    o->inputs[o->n_inputs++] = value;
    return true;
}

static bool set(const struct row *r, const char *name, const char *value, struct options *o)
{
    void *field = (char *)o + r->offset;
    switch (r->kind) {
    case TASK:
        return set_task(r, value, o);
    case INPUT:
        return add_input(value, o);
    case COUNT:
        return set_count(r, name, value, field);
    case REAL:
        return set_real(r, name, value, field);
    case SEED:
        return set_seed(name, value, field);
    case TEXT:
        *(const char **)field = value;
        return true;
    default:
        *(bool *)field = true;
        return true;
    }
}

/* --- the line */

/* The row of "--temp", "--temp=0", "-t", "-t2" or "-temp", and the value that hangs on to it. */
static const struct row *split(const char *word, char *name, size_t room, const char **value)
{
    const char *equals = strchr(word, '=');
    *value = equals ? equals + 1 : NULL;
    snprintf(name, room, "%.*s", equals ? (int)(equals - word) : (int)room, word);
    const struct row *r = find(name);
    if (r || word[1] == '-')
        return r;
    char other[80];
    snprintf(other, sizeof other, "-%.70s", name); /* one dash is as good as two */
    if ((r = find(other)))
        return r;
    snprintf(other, sizeof other, "%.2s", word);
    if (!(r = find(other)) || !r->argument)
        return NULL;
    *value = word + 2;
    return r;
}

/* One option and its value; *i moves on when the value is the next word. */
static bool take_option(int argc, char **argv, int *i, struct options *o)
{
    char name[64];
    const char *value;
    const struct row *r = split(argv[*i], name, sizeof name, &value);
    if (!r)
        return unknown(name);
    const char *known = r->name ? r->name : r->letter;
    bool is_optional = r->argument && *r->argument == '[';
    if (value && !r->argument)
        return complain("'%s' takes no value", known);
    if (!value && r->argument && !is_optional) {
        if (++*i == argc)
            return complain("'%s' needs a value: %s", known, r->argument);
        value = argv[*i];
    }
    return set(r, known, value, o);
}

static bool check(const struct options *o)
{
    if (!o->model)
        return complain("no model; 'qbrun -h' shows how to call");
    if (o->task == TASK_NONE)
        return complain("nothing to do with '%s'; try -p \"some text\", or 'qbrun -h'", o->model);
    if (o->task == TASK_RUN)
        return o->output || complain("'--input' needs '-o FOLDER' to write the results to");
    bool writes = o->task == TASK_LOGITS || o->task == TASK_TOKENS;
    if (writes && !o->output)
        return complain("'%s' needs '-o FILE' to write to",
                        o->task == TASK_LOGITS ? "--logits" : "--tokens");
    if (!writes && o->output)
        return complain("'-o' belongs to --logits and --tokens");
    if (o->task == TASK_TOKENS && o->n < 0)
        return complain("'--tokens' needs '-n N': how many new ids to write");
    return true;
}

/* Another each time; no secret. */
static uint64_t some_seed(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000007u ^ (uint64_t)now.tv_nsec << 20 ^ (uint64_t)getpid();
}

enum parsed options_parse(int argc, char **argv, struct options *out)
{
    *out = (struct options){.n = -1, .repetitions = 5, .temperature = 0.8, .top_k = 40,
                            .top_p = 0.95, .min_p = 0.05, .seed = some_seed()};
    options_find_own_model(argv[0], out);
    for (int i = 1; i < argc; i++) {
        const struct row *r = find(argv[i]);
        if (r && r->kind == HELP) {
            print_help(out);
            return PARSED_DONE;
        }
        if (r && r->kind == VERSION) {
            puts("qbrun " TOOL_VERSION);
            return PARSED_DONE;
        }
        if (argv[i][0] == '-' && argv[i][1]) {
            if (!take_option(argc, argv, &i, out))
                return PARSED_WRONG;
        } else if (out->model) {
            complain("'%s': there is a model already, %s'%s'", argv[i],
                     out->own_bytes ? "in the program " : "", out->model);
            return PARSED_WRONG;
        } else {
            out->model = argv[i];
        }
    }
    if (out->task == TASK_NONE && out->output)
        out->task = TASK_RUN; /* a model may take no input */
    return check(out) ? PARSED : PARSED_WRONG;
}
