/* tokenizer_charset.c: sets of characters: their algebra, and those that properties name. */
#include "tokenizer_build.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

enum { LAST = CODE_POINTS - 1 };

/* --- algebra */
static void append(struct charset *set, uint32_t first, uint32_t last)
{
    if (set->n > 0 && first <= set->range[set->n - 1].last + 1) {
        if (last > set->range[set->n - 1].last)
            set->range[set->n - 1].last = last;
        return;
    }
    set->range[set->n++] = (struct range){first, last};
}

struct charset qbc_token_charset_range(struct builder *b, uint32_t first, uint32_t last)
{
    struct charset set = {qbc_alloc(b->q, sizeof *set.range), 0};
    append(&set, first, last);
    return set;
}

struct charset qbc_token_charset_union(struct builder *b, struct charset a, struct charset c)
{
    struct charset set = {qbc_alloc(b->q, (a.n + c.n + 1) * sizeof *set.range), 0};
    for (size_t i = 0, j = 0; i < a.n || j < c.n;) {
        bool left = j == c.n || (i < a.n && a.range[i].first < c.range[j].first);
        struct range range = left ? a.range[i++] : c.range[j++];
        append(&set, range.first, range.last);
    }
    return set;
}

struct charset qbc_token_charset_not(struct builder *b, struct charset a)
{
    struct charset set = {qbc_alloc(b->q, (a.n + 1) * sizeof *set.range), 0};
    uint32_t next = 0;
    for (size_t i = 0; i < a.n; i++) {
        if (a.range[i].first > next)
            append(&set, next, a.range[i].first - 1);
        next = a.range[i].last + 1;
    }
    if (next <= LAST)
        append(&set, next, LAST);
    return set;
}

struct charset qbc_token_charset_and(struct builder *b, struct charset a, struct charset c)
{
    return qbc_token_charset_not(
        b, qbc_token_charset_union(b, qbc_token_charset_not(b, a), qbc_token_charset_not(b, c)));
}

bool qbc_token_charset_has(struct charset a, uint32_t c)
{
    for (size_t i = 0; i < a.n; i++)
        if (a.range[i].first <= c && c <= a.range[i].last)
            return true;
    return false;
}

/* --- properties */
static const uint8_t *categories(struct builder *b)
{
    if (b->category)
        return b->category;
    b->category = qbc_alloc(b->q, CODE_POINTS);
    for (int32_t c = 0; c < CODE_POINTS; c++)
        b->category[c] = (uint8_t)utf8proc_category(c);
    return b->category;
}

/* The characters of a general category, or of all whose short name begins with one letter. */
static struct charset of_category(struct builder *b, const char *name)
{
    static const char *const names[] = {
        [UTF8PROC_CATEGORY_CN] = "Cn", [UTF8PROC_CATEGORY_LU] = "Lu",
        [UTF8PROC_CATEGORY_LL] = "Ll", [UTF8PROC_CATEGORY_LT] = "Lt",
        [UTF8PROC_CATEGORY_LM] = "Lm", [UTF8PROC_CATEGORY_LO] = "Lo",
        [UTF8PROC_CATEGORY_MN] = "Mn", [UTF8PROC_CATEGORY_MC] = "Mc",
        [UTF8PROC_CATEGORY_ME] = "Me", [UTF8PROC_CATEGORY_ND] = "Nd",
        [UTF8PROC_CATEGORY_NL] = "Nl", [UTF8PROC_CATEGORY_NO] = "No",
        [UTF8PROC_CATEGORY_PC] = "Pc", [UTF8PROC_CATEGORY_PD] = "Pd",
        [UTF8PROC_CATEGORY_PS] = "Ps", [UTF8PROC_CATEGORY_PE] = "Pe",
        [UTF8PROC_CATEGORY_PI] = "Pi", [UTF8PROC_CATEGORY_PF] = "Pf",
        [UTF8PROC_CATEGORY_PO] = "Po", [UTF8PROC_CATEGORY_SM] = "Sm",
        [UTF8PROC_CATEGORY_SC] = "Sc", [UTF8PROC_CATEGORY_SK] = "Sk",
        [UTF8PROC_CATEGORY_SO] = "So", [UTF8PROC_CATEGORY_ZS] = "Zs",
        [UTF8PROC_CATEGORY_ZL] = "Zl", [UTF8PROC_CATEGORY_ZP] = "Zp",
        [UTF8PROC_CATEGORY_CC] = "Cc", [UTF8PROC_CATEGORY_CF] = "Cf",
        [UTF8PROC_CATEGORY_CS] = "Cs", [UTF8PROC_CATEGORY_CO] = "Co"};
    const uint8_t *category = categories(b);
    size_t n = 0;
    struct charset set = {NULL, 0};
    for (int pass = 0; pass < 2; pass++) {
        for (uint32_t c = 0; c <= LAST; c++) {
            const char *is = names[category[c]];
            if (is[0] != name[0] || (name[1] && is[1] != name[1]))
                continue;
            n++;
            if (pass)
                append(&set, c, c);
        }
        if (!pass)
            set.range = qbc_alloc(b->q, (n + 1) * sizeof *set.range);
    }
    return set;
}

static struct charset of_categories(struct builder *b, const char *const *names)
{
    struct charset set = {NULL, 0};
    for (; *names; names++)
        set = qbc_token_charset_union(b, set, of_category(b, *names));
    return set;
}

static struct charset of_ranges(struct builder *b, const struct range *range, size_t n)
{
    struct charset set = {NULL, 0};
    for (size_t i = 0; i < n; i++)
        set = qbc_token_charset_union(b, set,
                                      qbc_token_charset_range(b, range[i].first, range[i].last));
    return set;
}

/* White_Space */
struct charset qbc_token_charset_space(struct builder *b)
{
    static const struct range space[] = {
        {9, 13},          {0x20, 0x20},     {0x85, 0x85},     {0xa0, 0xa0},     {0x1680, 0x1680},
        {0x2000, 0x200a}, {0x2028, 0x2029}, {0x202f, 0x202f}, {0x205f, 0x205f}, {0x3000, 0x3000}};
    return of_ranges(b, space, sizeof space / sizeof *space);
}

/* Alphabetic, but for the marks that are */
static struct charset alphabetic(struct builder *b)
{
    static const char *const names[] = {"L", "Nl", NULL};
    static const struct range circled[] = {
        {0x24b6, 0x24e9}, {0x1f130, 0x1f149}, {0x1f150, 0x1f169}, {0x1f170, 0x1f189}};
    return qbc_token_charset_union(b, of_categories(b, names),
                                   of_ranges(b, circled, sizeof circled / sizeof *circled));
}

/* Letters, marks, digits, connectors. */
struct charset qbc_token_charset_onig_word(struct builder *b, bool in_brackets)
{
    static const char *const names[] = {"M", "Nd", "Pc", NULL};
    static const struct range more[] = {{0xb2, 0xb3}, {0xb9, 0xb9}, {0xbc, 0xbe}};
    struct charset set = qbc_token_charset_union(b, alphabetic(b), of_categories(b, names));
    if (in_brackets)
        return set;
    return qbc_token_charset_union(b, set, of_ranges(b, more, sizeof more / sizeof *more));
}

struct charset qbc_token_charset_word(struct builder *b)
{
    return qbc_token_charset_union(b, qbc_token_charset_onig_word(b, true),
                                   qbc_token_charset_range(b, 0x200c, 0x200d)); /* joiners */
}

struct named_category {
    const char *name, *category;
};

static const struct named_category long_names[] = {
    {"letter", "L"},
    {"uppercaseletter", "Lu"},
    {"lowercaseletter", "Ll"},
    {"titlecaseletter", "Lt"},
    {"modifierletter", "Lm"},
    {"otherletter", "Lo"},
    {"mark", "M"},
    {"nonspacingmark", "Mn"},
    {"spacingmark", "Mc"},
    {"enclosingmark", "Me"},
    {"number", "N"},
    {"decimalnumber", "Nd"},
    {"letternumber", "Nl"},
    {"othernumber", "No"},
    {"punctuation", "P"},
    {"punct", "P"},
    {"connectorpunctuation", "Pc"},
    {"dashpunctuation", "Pd"},
    {"openpunctuation", "Ps"},
    {"closepunctuation", "Pe"},
    {"initialpunctuation", "Pi"},
    {"finalpunctuation", "Pf"},
    {"otherpunctuation", "Po"},
    {"symbol", "S"},
    {"mathsymbol", "Sm"},
    {"currencysymbol", "Sc"},
    {"modifiersymbol", "Sk"},
    {"othersymbol", "So"},
    {"separator", "Z"},
    {"spaceseparator", "Zs"},
    {"lineseparator", "Zl"},
    {"paragraphseparator", "Zp"},
    {"other", "C"},
    {"control", "Cc"},
    {"cntrl", "Cc"},
    {"format", "Cf"},
    {"unassigned", "Cn"},
    {"privateuse", "Co"},
    {"surrogate", "Cs"},
    {"digit", "Nd"},
};

/* Properties that are no category; the ranges of scripts are those of Unicode 15. */
static bool other_property(struct builder *b, const char *name, struct charset *out)
{
    static const struct range hex[] = {{'0', '9'}, {'A', 'F'}, {'a', 'f'}};
    static const struct range han[] = {{0x2e80, 0x2e99},   {0x2e9b, 0x2ef3},   {0x2f00, 0x2fd5},
                                       {0x3005, 0x3005},   {0x3007, 0x3007},   {0x3021, 0x3029},
                                       {0x3038, 0x303b},   {0x3400, 0x4dbf},   {0x4e00, 0x9fff},
                                       {0xf900, 0xfa6d},   {0xfa70, 0xfad9},   {0x16fe2, 0x16fe3},
                                       {0x16ff0, 0x16ff1}, {0x20000, 0x2a6df}, {0x2a700, 0x2b739},
                                       {0x2b740, 0x2b81d}, {0x2b820, 0x2cea1}, {0x2ceb0, 0x2ebe0},
                                       {0x2f800, 0x2fa1d}, {0x30000, 0x3134a}, {0x31350, 0x323af}};
    static const struct range hiragana[] = {{0x3041, 0x3096},   {0x309d, 0x309f},
                                            {0x1b001, 0x1b11f}, {0x1b132, 0x1b132},
                                            {0x1b150, 0x1b152}, {0x1f200, 0x1f200}};
    static const struct range katakana[] = {
        {0x30a1, 0x30fa},   {0x30fd, 0x30ff},   {0x31f0, 0x31ff},   {0x32d0, 0x32fe},
        {0x3300, 0x3357},   {0xff66, 0xff6f},   {0xff71, 0xff9d},   {0x1aff0, 0x1aff3},
        {0x1aff5, 0x1affb}, {0x1affd, 0x1affe}, {0x1b000, 0x1b000}, {0x1b120, 0x1b122},
        {0x1b155, 0x1b155}, {0x1b164, 0x1b167}};
    static const struct range hangul[] = {
        {0x1100, 0x11ff}, {0x302e, 0x302f}, {0x3131, 0x318e}, {0x3200, 0x321e}, {0x3260, 0x327e},
        {0xa960, 0xa97c}, {0xac00, 0xd7a3}, {0xd7b0, 0xd7c6}, {0xd7cb, 0xd7fb}, {0xffa0, 0xffbe},
        {0xffc2, 0xffc7}, {0xffca, 0xffcf}, {0xffd2, 0xffd7}, {0xffda, 0xffdc}};
    static const struct range upper[] = {{0x2160, 0x216f},
                                         {0x24b6, 0x24cf},
                                         {0x1f130, 0x1f149},
                                         {0x1f150, 0x1f169},
                                         {0x1f170, 0x1f189}};
    static const char *const spaces[] = {"Zs", NULL};
    if (!strcmp(name, "xdigit"))
        *out = of_ranges(b, hex, sizeof hex / sizeof *hex);
    else if (!strcmp(name, "han"))
        *out = of_ranges(b, han, sizeof han / sizeof *han);
    else if (!strcmp(name, "hiragana"))
        *out = of_ranges(b, hiragana, sizeof hiragana / sizeof *hiragana);
    else if (!strcmp(name, "katakana"))
        *out = of_ranges(b, katakana, sizeof katakana / sizeof *katakana);
    else if (!strcmp(name, "hangul"))
        *out = of_ranges(b, hangul, sizeof hangul / sizeof *hangul);
    else if (!strcmp(name, "space") || !strcmp(name, "whitespace"))
        *out = qbc_token_charset_space(b);
    else if (!strcmp(name, "word"))
        *out = qbc_token_charset_onig_word(b, true);
    else if (!strcmp(name, "blank"))
        *out = qbc_token_charset_union(b, of_categories(b, spaces),
                                       qbc_token_charset_range(b, '\t', '\t'));
    else if (!strcmp(name, "any"))
        *out = qbc_token_charset_range(b, 0, LAST);
    else if (!strcmp(name, "ascii"))
        *out = qbc_token_charset_range(b, 0, 0x7f);
    else if (!strcmp(name, "upper"))
        *out = qbc_token_charset_union(b, of_category(b, "Lu"),
                                       of_ranges(b, upper, sizeof upper / sizeof *upper));
    else
        return false;
    return true;
}

bool qbc_token_charset_property(struct builder *b, struct text name, struct charset *out)
{
    char plain[64];
    size_t n = 0, skip = 0;
    const char *prefixes[] = {"Script=", "sc=", "scx=", "gc=", "General_Category="};
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
        if (name.length > strlen(prefixes[i]) &&
            !memcmp(name.data, prefixes[i], strlen(prefixes[i])))
            skip = strlen(prefixes[i]);
    for (size_t i = skip; i < name.length && n + 1 < sizeof plain; i++)
        if (!strchr(" _-", name.data[i]))
            plain[n++] =
                (char)(name.data[i] | (name.data[i] >= 'A' && name.data[i] <= 'Z' ? 32 : 0));
    plain[n] = 0;
    if (n == 1 || n == 2) {
        char category[3] = {(char)(plain[0] - 32), n == 2 ? plain[1] : 0, 0};
        *out = of_category(b, category);
        if (out->n > 0)
            return true;
    }
    for (size_t i = 0; i < sizeof long_names / sizeof *long_names; i++)
        if (!strcmp(long_names[i].name, plain)) {
            *out = of_category(b, long_names[i].category);
            return true;
        }
    return other_property(b, plain, out);
}

/* --- case */
static uint32_t fold_of(int32_t c)
{
    if (c == 0x130 || c == 0x131) /* dotted and dotless i stand alone */
        return (uint32_t)c;
    return (uint32_t)utf8proc_tolower(utf8proc_toupper(c));
}

struct charset qbc_token_charset_any_case(struct builder *b, struct charset a)
{
    if (!b->fold) {
        b->fold = qbc_alloc(b->q, CODE_POINTS * sizeof *b->fold);
        for (int32_t c = 0; c < CODE_POINTS; c++)
            b->fold[c] = fold_of(c);
    }
    bool *wanted = calloc(CODE_POINTS, sizeof *wanted);
    struct charset set = a;
    if (!wanted)
        qbc_out_of_memory(b->q, CODE_POINTS);
    for (size_t i = 0; i < a.n; i++)
        for (uint32_t c = a.range[i].first; c <= a.range[i].last; c++)
            wanted[b->fold[c]] = true;
    for (uint32_t c = 0; c <= LAST; c++)
        if (wanted[b->fold[c]] && !qbc_token_charset_has(a, c))
            set = qbc_token_charset_union(b, set, qbc_token_charset_range(b, c, c));
    free(wanted);
    return set;
}
