#include "gateway/net/file_pool.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "gateway/base/bug.h"

/* What is posted to a loop is not the job, which may be abandoned and gone
 * before the loop's next turn (and there may be no next turn). */
struct file_ticket {
    struct file_ticket *next, **at;
    struct file_pool *pool;
    struct file_job *job; /* NULL: abandoned */
};

struct file_pool {
    pthread_mutex_t lock; /* guards the rest, and every job's state */
    pthread_cond_t more;
    struct file_job *first, **tail;
    struct file_ticket *tickets; /* posted, not yet seen */
    bool is_closing;
    unsigned nthreads;
    pthread_t threads[];
};

static void enqueue(struct file_pool *p, struct file_job *j)
{
    j->state = JOB_QUEUED;
    j->next = NULL;
    *p->tail = j;
    p->tail = &j->next;
    pthread_cond_signal(&p->more);
}

static struct file_job *dequeue(struct file_pool *p)
{
    struct file_job *j;

    while (!p->first && !p->is_closing)
        pthread_cond_wait(&p->more, &p->lock);
    j = p->first;
    if (!j)
        return NULL;
    p->first = j->next;
    if (!p->first)
        p->tail = &p->first;
    j->state = JOB_RUNNING;
    return j;
}

/* The job becomes its own cleanup: work without a done(). */
static void turn_into_cleanup(struct file_job *j)
{
    j->work = j->cleanup;
    j->done = NULL;
    j->cleanup = NULL;
}

/* --- telling the loop --- */

/* On the loop. */
static void on_posted(void *arg)
{
    struct file_ticket *t = arg;
    struct file_pool *p = t->pool;
    struct file_job *j;

    pthread_mutex_lock(&p->lock);
    *t->at = t->next;
    if (t->next)
        t->next->at = t->at;
    j = t->job;
    if (j) {
        j->state = JOB_IDLE;
        j->ticket = NULL;
    }
    pthread_mutex_unlock(&p->lock);
    free(t);
    if (j)
        j->done(j->arg);
}

/* With the lock held: the owner that sees POSTED knows that its loop will hear
 * of the job. */
static void post(struct file_pool *p, struct file_job *j)
{
    struct file_ticket *t = xmalloc(sizeof(*t));

    *t = (struct file_ticket){p->tickets, &p->tickets, p, j};
    if (t->next)
        t->next->at = &t->next;
    p->tickets = t;
    j->ticket = t;
    j->state = JOB_POSTED;
    loop_post(j->loop, on_posted, t);
}

/* --- the threads --- */

/* Called and left with the lock held. */
static void run_job(struct file_pool *p, struct file_job *j)
{
    void (*work)(void *arg) = j->work;
    void *arg = j->arg;
    bool is_cleanup = !j->done;

    pthread_mutex_unlock(&p->lock);
    work(arg);
    pthread_mutex_lock(&p->lock);
    if (is_cleanup)
        return; /* the job is gone */
    if (j->cleanup) {
        turn_into_cleanup(j);
        enqueue(p, j);
        return;
    }
    post(p, j);
}

static void *thread_main(void *arg)
{
    struct file_pool *p = arg;
    struct file_job *j;

    pthread_mutex_lock(&p->lock);
    while ((j = dequeue(p)))
        run_job(p, j);
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

struct file_pool *file_pool_open(unsigned threads)
{
    unsigned n = MAX(threads, 1u), i;
    struct file_pool *p = xcalloc(1, sizeof(*p) + n * sizeof(p->threads[0]));
    sigset_t all, old;

    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->more, NULL);
    p->tail = &p->first;
    p->nthreads = n;
    /* Signals are the main thread's business. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    for (i = 0; i < n; i++)
        if (pthread_create(&p->threads[i], NULL, thread_main, p))
            BUG("cannot start a thread for files");
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return p;
}

void file_pool_close(struct file_pool *p)
{
    struct file_ticket *t;
    unsigned i;

    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    p->is_closing = true;
    pthread_cond_broadcast(&p->more);
    pthread_mutex_unlock(&p->lock);
    for (i = 0; i < p->nthreads; i++)
        pthread_join(p->threads[i], NULL);
    ASSERT(!p->first);
    while ((t = p->tickets)) {
        ASSERT(!t->job);
        p->tickets = t->next;
        free(t);
    }
    pthread_cond_destroy(&p->more);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

void file_pool_submit(struct file_pool *p, struct file_job *j, struct loop *l,
                      void (*work)(void *arg), void (*done)(void *arg),
                      void *arg)
{
    pthread_mutex_lock(&p->lock);
    ASSERT(j->state == JOB_IDLE && !j->cleanup);
    j->pool = p;
    j->loop = l;
    j->work = work;
    j->done = done;
    j->arg = arg;
    enqueue(p, j);
    pthread_mutex_unlock(&p->lock);
}

void file_pool_abandon(struct file_pool *p, struct file_job *j,
                       void (*cleanup)(void *arg), void *arg)
{
    pthread_mutex_lock(&p->lock);
    ASSERT(!j->cleanup);
    j->pool = p;
    j->cleanup = cleanup;
    j->arg = arg;
    if (j->state == JOB_POSTED)
        j->ticket->job = NULL;
    if (j->state != JOB_RUNNING)
        turn_into_cleanup(j);
    if (j->state == JOB_IDLE || j->state == JOB_POSTED)
        enqueue(p, j);
    pthread_mutex_unlock(&p->lock);
}
